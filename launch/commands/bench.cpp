#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/kernels.h"
#include "bench/measure.h"
#include "bench/schedules.h"
#include "bench/step.h"
#include "launch/bootstrap.h"
#include "launch/commands/bench_checkpoint.h"
#include "launch/commands/bench_pipeline.h"
#include "launch/commands/commands.h"
#include "launch/config.h"
#include "launch/node.h"

namespace trireme::launch {
namespace {

using nlohmann::ordered_json;

struct KernelArguments {
  int threads = usable_cores();
  double seconds = 0.3;
  bool json = false;
};

ExitCode bench_kernels(const KernelArguments& arguments) {
  const auto backend = kernels::make_cpu_backend({.threads = arguments.threads});
  ordered_json rows = ordered_json::array();
  if (!arguments.json) {
    std::printf("%s, limits measured in this run\n%-26s %-42s %10s %14s %14s %6s\n",
                backend->description().c_str(), "operation", "shape", "time", "rate", "limit",
                "share");
  }
  for (const auto& result : bench::run_kernels(*backend, arguments.seconds)) {
    const char* unit = result.is_bandwidth ? "GB/s" : "GFLOP/s";
    if (!arguments.json) {
      fmt::print("{:<26} {:<42} {:>7.3f} ms {:>7.1f} {:<7} {:>6.1f} {:<7} {:>4.0f} %\n",
                 result.name, result.shape, result.seconds * 1e3, result.rate / 1e9, unit,
                 result.limit / 1e9, unit, result.fraction() * 100);
    }
    rows.push_back({{"name", result.name},
                    {"shape", result.shape},
                    {"seconds", result.seconds},
                    {"rate", result.rate},
                    {"limit", result.limit},
                    {"unit", result.is_bandwidth ? "B/s" : "FLOP/s"},
                    {"fraction", result.fraction()}});
  }
  if (arguments.json)
    std::printf("%s\n",
                ordered_json{{"device", backend->description()}, {"kernels", rows}}.dump().c_str());
  return ExitCode::done;
}

struct StepArguments {
  std::int64_t layers = 6, hidden = 384, intermediate = 1024, heads = 6, kv_heads = 2, vocab = 256;
  bench::StepOptions options;
  int threads = 0;
  bool json = false;
};

ExitCode bench_step(const StepArguments& arguments) {
  const auto job = start_job();
  const int threads =
      arguments.threads > 0 ? arguments.threads : std::max(1, usable_cores() / job->local_size());
  const auto backend = kernels::make_cpu_backend({.threads = threads});
  const double peak = backend->peak_flops_per_second(kernels::Dtype::f32) * job->size();
  const auto world = job->make_world({.spin = job->local_size() * threads < usable_cores()});
  bench::StepOptions options = arguments.options;
  const int replica = options.tensor * options.pipeline;
  if (job->size() % replica != 0) {
    throw UsageError("--tp times --pp, " + std::to_string(replica) +
                     ", must divide the number of ranks, " + std::to_string(job->size()));
  }
  options.model = {.family = models::Family::llama,
                   .hidden_size = arguments.hidden,
                   .intermediate_size = arguments.intermediate,
                   .num_hidden_layers = arguments.layers,
                   .num_attention_heads = arguments.heads,
                   .num_key_value_heads = arguments.kv_heads,
                   .head_dim = arguments.hidden / arguments.heads,
                   .vocab_size = arguments.vocab};
  const auto times = bench::run_steps(*backend, *world, options);
  if (job->rank() != 0) return ExitCode::done;
  const double seconds = bench::median(times.seconds);
  const double tokens = static_cast<double>(times.tokens_per_step) / seconds;
  const double flops = tokens * times.flops_per_token;
  const ordered_json result = {{"device", backend->description()},
                               {"ranks", job->size()},
                               {"tokens_per_step", times.tokens_per_step},
                               {"tokens_per_second", tokens},
                               {"step_seconds", seconds},
                               {"all_step_seconds", times.seconds},
                               {"model_mflop_per_token", times.flops_per_token / 1e6},
                               {"model_tflops", flops / 1e12},
                               {"fma_peak_gflops", peak / 1e9},
                               {"fraction_of_peak", flops / peak},
                               {"loss_first", times.first_loss},
                               {"loss_last", times.last_loss}};
  if (arguments.json) {
    std::printf("%s\n", result.dump().c_str());
  } else {
    fmt::print(
        "{} ranks on {}: {:.0f} tokens/s, {:.1f} ms per step of {} tokens, {:.1f} GFLOP/s of "
        "{:.1f} ({:.0f} %)\n",
        job->size(), backend->description(), tokens, seconds * 1e3, times.tokens_per_step,
        flops / 1e9, peak / 1e9, flops / peak * 100);
  }
  return ExitCode::done;
}

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

void add_kernels(CLI::App& bench, Command& chosen) {
  auto* command = bench.add_subcommand(
      "kernels", "each operation against this machine's FMA peak or copy bandwidth");
  // Lives as long as the parser that fills it in.
  auto arguments = std::make_shared<KernelArguments>();
  command->add_option("--threads", arguments->threads, "CPU threads")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--seconds", arguments->seconds, "to spend on each operation")
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "the result as JSON");
  command->footer("Example:\n  trireme bench kernels --threads 1");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return bench_kernels(*arguments); }; });
}

void add_step(CLI::App& bench, Command& chosen) {
  auto* command = bench.add_subcommand(
      "step", "whole training steps of a Llama-style model, on the ranks that started this");
  auto arguments = std::make_shared<StepArguments>();
  const auto count = [&](const char* flag, auto& field, const char* help) {
    command->add_option(flag, field, help)->capture_default_str()->check(CLI::PositiveNumber);
  };
  count("--layers", arguments->layers, "layers");
  count("--hidden", arguments->hidden, "hidden size");
  count("--intermediate", arguments->intermediate, "feed-forward size");
  count("--heads", arguments->heads, "query heads");
  count("--kv-heads", arguments->kv_heads, "key and value heads");
  count("--vocab", arguments->vocab, "vocabulary");
  count("--seq", arguments->options.sequence_length, "tokens of a sequence");
  count("--batch", arguments->options.micro_batch, "sequences of a pass");
  count("--micro-batches", arguments->options.micro_batches, "passes of a step, per replica");
  count("--tp", arguments->options.tensor, "tensor-parallel ranks");
  count("--pp", arguments->options.pipeline, "pipeline ranks");
  command->add_option("--schedule", arguments->options.schedule, "of the pipeline")
      ->capture_default_str();
  count("--steps", arguments->options.steps, "counted steps");
  command->add_option("--warmup", arguments->options.warmup, "steps before them")
      ->capture_default_str();
  command->add_option("--threads", arguments->threads,
                      "CPU threads per rank; default: the cores over the ranks");
  command->add_flag("--json", arguments->json, "the result as JSON");
  command->footer("Example:\n  mpirun -np 2 trireme bench step --hidden 512 --threads 1");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return bench_step(*arguments); }; });
}

}  // namespace

void add_bench(CLI::App& app, Command& chosen) {
  auto* command =
      app.add_subcommand("bench", "measures this machine, and what trireme makes of it");
  command->require_subcommand(1);
  add_kernels(*command, chosen);
  add_step(*command, chosen);
  add_schedules(*command, chosen);
  add_bench_pipeline(*command, chosen);
  add_bench_checkpoint(*command, chosen);
}

}  // namespace trireme::launch
