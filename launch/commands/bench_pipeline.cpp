#include "launch/commands/bench_pipeline.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/pipeline.h"
#include "launch/bootstrap.h"
#include "launch/commands/bench_device.h"
#include "launch/config_file.h"
#include "schedules/catalog.h"

namespace trireme::launch {
namespace {

using nlohmann::ordered_json;

struct PipelineArguments {
  bench::PipelineOptions options;
  std::vector<std::string> kinds;
  std::vector<double> milliseconds{20, 20, 20};
  double message_megabytes = 1;
  bool json = false;
};

std::vector<std::string> all_kinds() {
  std::vector<std::string> names;
  for (const auto& kind : schedules::kinds()) {
    if (!kind.two_copies) names.push_back(kind.name);
  }
  return names;
}

ordered_json json_of(const bench::PipelineTimes& times) {
  return {{"schedule", times.kind},
          {"virtual_stages", times.virtual_stages},
          {"measured_seconds", times.measured},
          {"simulated_seconds", times.simulated},
          {"bubble_fraction", times.bubble},
          {"measured_span_seconds", times.measured_span},
          {"simulated_span_seconds", times.simulated_span},
          {"span_bubble_fraction", times.span_bubble},
          {"period_seconds", times.period},
          {"period_bubble_fraction", times.period_bubble},
          {"messages", times.messages}};
}

void print_row(const bench::PipelineTimes& times) {
  fmt::print(
      "{:<18} {:>2} {:>10.1f} {:>10.1f} {:>+7.2f} % {:>8.2f} % {:>10.1f} {:>10.1f} {:>8.2f} % "
      "{:>10.1f} {:>8.2f} %\n",
      times.kind, times.virtual_stages, times.measured * 1e3, times.simulated * 1e3,
      100 * (times.measured / times.simulated - 1), 100 * times.bubble, times.measured_span * 1e3,
      times.simulated_span * 1e3, 100 * times.span_bubble, times.period * 1e3,
      100 * times.period_bubble);
  std::fflush(stdout);
}

void check(const PipelineArguments& arguments) {
  if (arguments.milliseconds.size() != 3) throw UsageError("--times takes three numbers: F,B,W");
  for (const std::string& kind : arguments.kinds) schedules::kind_named(kind);
}

ExitCode measure(PipelineArguments arguments, Job& job) {
  const auto world = job.make_world({});
  bench::PipelineOptions& options = arguments.options;
  options.share = {arguments.milliseconds[0] * 1e-3, arguments.milliseconds[1] * 1e-3,
                   arguments.milliseconds[2] * 1e-3};
  options.message_bytes = static_cast<std::int64_t>(arguments.message_megabytes * 0x1p20);
  const double message = bench::message_seconds(*world, options);
  const bool speaks = job.rank() == 0;
  if (speaks && !arguments.json) {
    fmt::print(
        "{} ranks, {} micro-batches, F {:g} ms, B {:g} ms, W {:g} ms of sleep, messages of {:g} MB "
        "that take {:.2f} ms\n{:<18} {:>2} {:>10} {:>10} {:>9} {:>10} {:>10} {:>10} {:>10} {:>10} "
        "{:>10}\n",
        world->size(), options.micro_batches, arguments.milliseconds[0], arguments.milliseconds[1],
        arguments.milliseconds[2], arguments.message_megabytes, message * 1e3, "schedule", "v",
        "measured", "simulated", "excess", "bubble", "span", "simulated", "bubble", "period",
        "bubble");
  }
  ordered_json rows = ordered_json::array();
  for (const std::string& kind : arguments.kinds.empty() ? all_kinds() : arguments.kinds) {
    try {
      const auto times = bench::run_pipeline(*world, kind, options, message);
      rows.push_back(json_of(times));
      if (speaks && !arguments.json) print_row(times);
    } catch (const schedules::ScheduleError& error) {
      rows.push_back({{"schedule", kind}, {"refusal", error.what()}});
      if (speaks && !arguments.json) fmt::print("{:<18} {}\n", kind, error.what());
    }
  }
  if (speaks && arguments.json) {
    std::puts(ordered_json{{"ranks", world->size()},
                           {"micro_batches", options.micro_batches},
                           {"message_seconds", message},
                           {"schedules", rows}}
                  .dump()
                  .c_str());
  }
  return ExitCode::done;
}

ExitCode bench_pipeline(const PipelineArguments& arguments) {
  const auto job = start_job();
  return measured_after(
      *job, [&] { check(arguments); }, [&] { return measure(arguments, *job); });
}

}  // namespace

void add_bench_pipeline(CLI::App& bench, Command& chosen) {
  auto* command = bench.add_subcommand(
      "pipeline", "the executor on stages that sleep: measured against simulated step times");
  // Lives as long as the parser that fills it in.
  auto arguments = std::make_shared<PipelineArguments>();
  bench::PipelineOptions& options = arguments->options;
  command->add_option("--kinds", arguments->kinds, "schedules, separated by commas; default: all")
      ->delimiter(',');
  command
      ->add_option("--times", arguments->milliseconds,
                   "F,B,W of a rank's whole share, in milliseconds")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--micro-batches", options.micro_batches, "of a step")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--virtual-stages", options.virtual_stages,
                   "stages per rank; default: the kind's own")
      ->check(CLI::PositiveNumber);
  command->add_option("--message-mb", arguments->message_megabytes, "size of every message")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--memory-limit", options.memory_limit,
                      "of searched kinds, in micro-batches; default: none");
  command->add_option("--slots", options.slots, "messages that a channel may hold")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--steps", options.steps, "measured, of which the fastest counts")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_flag("--one-stream", options.one_stream, "all messages of a rank on one stream");
  command->add_flag("--json", arguments->json, "the result as JSON");
  command->footer(
      "Each rank is a pipeline rank; ranks need no core while they sleep.\n\n"
      "Example:\n  mpirun -np 8 trireme bench pipeline --kinds 1f1b,zb-h1,zb-v");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return bench_pipeline(*arguments); }; });
}

}  // namespace trireme::launch
