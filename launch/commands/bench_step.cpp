#include "launch/commands/bench_step.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/measure.h"
#include "bench/step.h"
#include "launch/commands/bench_device.h"
#include "launch/console.h"

namespace trireme::launch {
namespace {

using nlohmann::ordered_json;

struct Arguments {
  BenchDevice device;
  std::string preset, recompute = "none";
  std::int64_t layers = 6, hidden = 384, intermediate = 1024, heads = 6, kv_heads = 2, vocab = 256;
  bool has_layers = false;  // the user said so
  bench::StepOptions options;
  bool json = false;
};

const std::map<std::string, runtime::Recompute> kRecompute{
    {"none", runtime::Recompute::none},
    {"selective", runtime::Recompute::selective},
    {"full", runtime::Recompute::full}};

models::Shape shape_of(const Arguments& arguments) {
  if (arguments.preset.empty()) {
    return {.family = models::Family::llama,
            .hidden_size = arguments.hidden,
            .intermediate_size = arguments.intermediate,
            .num_hidden_layers = arguments.layers,
            .num_attention_heads = arguments.heads,
            .num_key_value_heads = arguments.kv_heads,
            .head_dim = arguments.hidden / arguments.heads,
            .vocab_size = arguments.vocab};
  }
  models::Shape shape = models::preset(arguments.preset);
  if (arguments.has_layers) shape.num_hidden_layers = arguments.layers;
  return shape;
}

void print(const ordered_json& result) {
  fmt::print(
      "{} ranks on {}, {}: {:.0f} tokens/s, {:.1f} ms per step of {} tokens, {:.1f} GFLOP/s of "
      "{:.1f} ({:.0f} %), host {:.1f} ms, peak memory {}\n",
      result["ranks"].get<int>(), result["device"].get<std::string>(),
      result["dtype"].get<std::string>(), result["tokens_per_second"].get<double>(),
      result["step_seconds"].get<double>() * 1e3, result["tokens_per_step"].get<std::int64_t>(),
      result["model_tflops"].get<double>() * 1e3, result["fma_peak_gflops"].get<double>(),
      result["fraction_of_peak"].get<double>() * 100, result["host_seconds"].get<double>() * 1e3,
      bytes_text(result["peak_memory_bytes"].get<double>()));
}

bench::StepOptions options_of(const Arguments& arguments, const Job& job) {
  bench::StepOptions options = arguments.options;
  const int replica = options.tensor * options.pipeline;
  if (job.size() % replica != 0) {
    throw UsageError("--tp times --pp, " + std::to_string(replica) +
                     ", must divide the number of ranks, " + std::to_string(job.size()));
  }
  if (arguments.preset.empty() && arguments.hidden % (2 * arguments.heads) != 0) {
    throw UsageError("--hidden " + std::to_string(arguments.hidden) +
                     ": must be a multiple of twice --heads, " +
                     std::to_string(2 * arguments.heads));
  }
  if (arguments.preset.empty() && arguments.heads % arguments.kv_heads != 0) {
    throw UsageError("--kv-heads " + std::to_string(arguments.kv_heads) +
                     ": must divide --heads, " + std::to_string(arguments.heads));
  }
  options.model = shape_of(arguments);
  options.recompute = kRecompute.at(arguments.recompute);
  return options;
}

ordered_json json_of(const bench::StepTimes& times, int ranks, double peak) {
  const double seconds = bench::median(times.seconds);
  const double tokens = static_cast<double>(times.tokens_per_step) / seconds;
  const double flops = tokens * times.flops_per_token;
  return {{"ranks", ranks},
          {"tokens_per_step", times.tokens_per_step},
          {"tokens_per_second", tokens},
          {"step_seconds", seconds},
          {"all_step_seconds", times.seconds},
          {"host_seconds", bench::median(times.host_seconds)},
          {"model_mflop_per_token", times.flops_per_token / 1e6},
          {"model_tflops", flops / 1e12},
          {"fma_peak_gflops", peak / 1e9},
          {"fraction_of_peak", flops / peak},
          {"peak_memory_bytes", times.peak_memory},
          {"reserved_memory_bytes", times.reserved_memory},
          {"loss_first", times.first_loss},
          {"loss_last", times.last_loss}};
}

ExitCode measure(const Arguments& arguments, const bench::StepOptions& options, RankSetup& setup,
                 Job& job) {
  const double peak = setup.backend->peak_flops_per_second(options.compute) * job.size();
  const auto world = make_world(setup, job);
  const auto times = bench::run_steps(*setup.backend, *world, options);
  if (job.rank() != 0) return ExitCode::done;
  ordered_json result = {{"device", setup.backend->description()},
                         {"dtype", name_of(options.compute)}};
  result.update(json_of(times, job.size(), peak));
  if (arguments.json) {
    std::printf("%s\n", result.dump().c_str());
  } else {
    print(result);
  }
  return ExitCode::done;
}

ExitCode bench_step(const Arguments& arguments) {
  const auto job = start_job();
  bench::StepOptions options;
  RankSetup setup;
  const auto prepare = [&] {
    options = options_of(arguments, *job);
    setup = make_bench_device(arguments.device, *job);
    options.compute = dtype_of(arguments.device, setup);
  };
  return measured_after(*job, prepare, [&] { return measure(arguments, options, setup, *job); });
}

void add_model_options(CLI::App& command, Arguments& arguments) {
  const auto count = [&](const char* flag, auto& field, const char* help) {
    return command.add_option(flag, field, help)->capture_default_str()->check(CLI::PositiveNumber);
  };
  auto* preset = command
                     .add_option("--preset", arguments.preset,
                                 "a model by name; with --layers, so many of its layers")
                     ->check(CLI::IsMember(models::preset_names()));
  count("--layers", arguments.layers, "layers")->each([&arguments](const std::string&) {
    arguments.has_layers = true;
  });
  count("--hidden", arguments.hidden, "hidden size")->excludes(preset);
  count("--intermediate", arguments.intermediate, "feed-forward size")->excludes(preset);
  count("--heads", arguments.heads, "query heads")->excludes(preset);
  count("--kv-heads", arguments.kv_heads, "key and value heads")->excludes(preset);
  count("--vocab", arguments.vocab, "vocabulary")->excludes(preset);
}

void add_run_options(CLI::App& command, bench::StepOptions& options) {
  const auto count = [&](const char* flag, auto& field, const char* help) {
    command.add_option(flag, field, help)->capture_default_str()->check(CLI::PositiveNumber);
  };
  count("--seq", options.sequence_length, "tokens of a sequence");
  count("--batch", options.micro_batch, "sequences of a pass");
  count("--micro-batches", options.micro_batches, "passes of a step, per replica");
  count("--tp", options.tensor, "tensor-parallel ranks");
  count("--pp", options.pipeline, "pipeline ranks");
  command.add_option("--schedule", options.schedule, "of the pipeline")->capture_default_str();
  command.add_flag("--deterministic", options.deterministic,
                   "the same bits in every run, where a device is faster without");
  count("--steps", options.steps, "counted steps");
  command.add_option("--warmup", options.warmup, "steps before them")->capture_default_str();
}

}  // namespace

void add_bench_step(CLI::App& bench, Command& chosen) {
  auto* command = bench.add_subcommand(
      "step", "whole training steps of a model, on the ranks that started this");
  auto arguments = std::make_shared<Arguments>();
  add_model_options(*command, *arguments);
  add_run_options(*command, arguments->options);
  command->add_option("--recompute", arguments->recompute, "none, selective or full")
      ->capture_default_str()
      ->check(CLI::IsMember(kRecompute));
  add_bench_device(*command, arguments->device);
  command->add_flag("--json", arguments->json, "the result as JSON");
  command->footer(
      "Examples:\n"
      "  mpirun -np 2 trireme bench step --hidden 512 --threads 1\n"
      "  trireme bench step --device cuda --preset llama3-8b --layers 8 --seq 8192 --batch 1");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return bench_step(*arguments); }; });
}

}  // namespace trireme::launch
