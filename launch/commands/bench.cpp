#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/schedules.h"
#include "launch/commands/bench_checkpoint.h"
#include "launch/commands/bench_collectives.h"
#include "launch/commands/bench_kernels.h"
#include "launch/commands/bench_pipeline.h"
#include "launch/commands/bench_step.h"
#include "launch/commands/commands.h"

namespace trireme::launch {
namespace {

using nlohmann::ordered_json;

struct SchedulesArguments {
  bench::SearchOptions options;
  bool json = false;
};

void print_searches(const std::vector<bench::SearchResult>& results) {
  int wins = 0, losses = 0;
  fmt::print("{:<10} {:>3} {:>4} {:>2} {:<9} {:>6} {:>4} {:<9} {:>10} {:>10} {:>10} {:>8} {:>6}\n",
             "kind", "p", "m", "v", "costs", "limit", "held", "objective", "found", "bound",
             "reference", "excess", "time");
  for (const auto& result : results) {
    const auto& request = result.request;
    constexpr double kRounding = 1e-9;
    const char* verdict = "";
    if (result.excess() > kRounding) verdict = "  LOSS";
    wins += result.excess() < -kRounding ? 1 : 0;
    losses += result.excess() > kRounding ? 1 : 0;
    fmt::print(
        "{:<10} {:>3} {:>4} {:>2} {:<9} {:>6.4g} {:>4.2g} {:<9} {:>10.6g} {:>10.6g} {:>10.6g} "
        "{:>+7.2f}% {:>5.2f}s  {}{}\n",
        request.kind, request.shape.ranks, request.shape.micro_batches,
        request.shape.virtual_stages, result.costs, request.goal.memory_limit[0],
        request.goal.weight_fraction,
        request.goal.objective == schedules::Objective::span ? "span" : "makespan", result.found,
        result.lower_bound, result.reference, 100 * result.excess(), result.seconds,
        result.reference_kind, verdict);
  }
  fmt::print("{} cases: {} better than the reference, {} equal, {} worse\n\n", results.size(), wins,
             static_cast<int>(results.size()) - wins - losses, losses);
}

ExitCode bench_schedules(const SchedulesArguments& arguments) {
  const auto results = bench::run_searches(arguments.options);
  const auto speeds = bench::run_schedule_speeds();
  if (!arguments.json) {
    print_searches(results);
    for (const auto& speed : speeds) {
      fmt::print("{:<48} {:>9.0f} actions {:>9.2f} ms\n", speed.what, speed.actions,
                 speed.seconds * 1e3);
    }
    return ExitCode::done;
  }
  ordered_json searches = ordered_json::array(), times = ordered_json::array();
  for (const auto& result : results) {
    const auto& request = result.request;
    searches.push_back(
        {{"schedule", request.kind},
         {"stages", request.shape.ranks},
         {"micro_batches", request.shape.micro_batches},
         {"virtual_stages", request.shape.virtual_stages},
         {"costs", result.costs},
         {"memory_limit", request.goal.memory_limit[0]},
         {"weight_fraction", request.goal.weight_fraction},
         {"objective", request.goal.objective == schedules::Objective::span ? "span" : "makespan"},
         {"found", result.found},
         {"lower_bound", result.lower_bound},
         {"reference", result.reference},
         {"reference_kind", result.reference_kind},
         {"seconds", result.seconds}});
  }
  for (const auto& speed : speeds) {
    times.push_back({{"what", speed.what}, {"actions", speed.actions}, {"seconds", speed.seconds}});
  }
  std::printf("%s\n", ordered_json{{"searches", searches}, {"speeds", times}}.dump().c_str());
  return ExitCode::done;
}

void add_schedules(CLI::App& bench, Command& chosen) {
  auto* command = bench.add_subcommand(
      "schedules", "searched schedules against the best known, and how fast the library is");
  auto arguments = std::make_shared<SchedulesArguments>();
  command->add_option("--targets", arguments->options.targets,
                      "a file of best known results; default: every other kind that fits");
  command->add_option("--effort", arguments->options.effort, "of each search, in about seconds")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--every", arguments->options.every, "runs one case of so many")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", arguments->json, "the result as JSON");
  command->footer(
      "Example:\n  trireme bench schedules --targets tests/golden/schedule_targets.json --every "
      "20");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return bench_schedules(*arguments); }; });
}

}  // namespace

void add_bench(CLI::App& app, Command& chosen) {
  auto* command =
      app.add_subcommand("bench", "measures this machine, and what trireme makes of it");
  command->require_subcommand(1);
  command->footer("Example:\n  mpirun -np 2 trireme bench step --hidden 512 --threads 1");
  add_bench_kernels(*command, chosen);
  add_bench_collectives(*command, chosen);
  add_bench_step(*command, chosen);
  add_schedules(*command, chosen);
  add_bench_pipeline(*command, chosen);
  add_bench_checkpoint(*command, chosen);
}

}  // namespace trireme::launch
