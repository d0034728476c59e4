#include "launch/commands/bench_checkpoint.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/checkpoint.h"
#include "bench/measure.h"
#include "launch/bootstrap.h"
#include "launch/commands/bench_device.h"
#include "launch/config.h"
#include "launch/node.h"

namespace trireme::launch {
namespace {

using nlohmann::ordered_json;

struct Arguments {
  std::int64_t layers = 6, hidden = 768, tensor = 1, pipeline = 1, rounds = 5;
  std::string folder = "build/bench-checkpoint";
  bool json = false;
};

// Saves that a run makes, one for so many steps.
constexpr double kInterval = 100;

void check(const Arguments& arguments, const Job& job) {
  const std::int64_t replica = arguments.tensor * arguments.pipeline;
  if (job.size() % replica != 0) {
    throw UsageError("--tp times --pp, " + std::to_string(replica) +
                     ", must divide the number of ranks, " + std::to_string(job.size()));
  }
  if (arguments.hidden % 64 != 0) {
    throw UsageError("--hidden " + std::to_string(arguments.hidden) + ": must be a multiple of 64");
  }
}

ExitCode measure(const Arguments& arguments, Job& job) {
  const int threads = std::max(1, usable_cores() / job.local_size());
  const auto backend = kernels::make_cpu_backend({.threads = threads});
  const auto world = job.make_world({.spin = job.local_size() * threads < usable_cores()});
  bench::CheckpointOptions options;
  options.folder = arguments.folder;
  options.rounds = static_cast<int>(arguments.rounds);
  options.step.tensor = static_cast<int>(arguments.tensor);
  options.step.pipeline = static_cast<int>(arguments.pipeline);
  options.step.micro_batches = arguments.pipeline;
  options.step.steps = 3;
  options.step.warmup = 1;
  options.step.model = {.family = models::Family::llama,
                        .hidden_size = arguments.hidden,
                        .intermediate_size = arguments.hidden * 8 / 3 / 64 * 64,
                        .num_hidden_layers = arguments.layers,
                        .num_attention_heads = arguments.hidden / 64,
                        .num_key_value_heads = arguments.hidden / 64,
                        .head_dim = 64,
                        .vocab_size = 32000};
  const auto times = bench::run_checkpoints(*backend, *world, options);
  if (job.rank() == 0) std::filesystem::remove_all(options.folder);
  if (job.rank() != 0) return ExitCode::done;
  const auto bytes = static_cast<double>(times.bytes);
  const double write = bench::median(times.plain_write), save = bench::median(times.save);
  const double read = bench::median(times.plain_read), load = bench::median(times.load);
  const double stall = bench::median(times.stall);
  const ordered_json result = {{"ranks", job.size()},
                               {"bytes", times.bytes},
                               {"plain_write_gb_per_second", bytes / write / 1e9},
                               {"save_gb_per_second", bytes / save / 1e9},
                               {"save_ratio", write / save},
                               {"plain_read_gb_per_second", bytes / read / 1e9},
                               {"load_gb_per_second", bytes / load / 1e9},
                               {"load_ratio", read / load},
                               {"stall_seconds", stall},
                               {"step_seconds", times.step},
                               {"stall_share_at_interval_100", stall / (kInterval * times.step)},
                               {"extra_memory_bytes", times.extra_memory},
                               {"all_save_seconds", times.save},
                               {"all_load_seconds", times.load}};
  if (arguments.json) {
    std::printf("%s\n", result.dump().c_str());
    return ExitCode::done;
  }
  fmt::print(
      "{:.2f} GB of weights and moments on {} ranks, medians of {} rounds\n"
      "write  one file per rank, synced {:.2f} GB/s | checkpoint {:.2f} GB/s | ratio {:.2f}\n"
      "read   shard files {:.2f} GB/s | into the model, checked {:.2f} GB/s | ratio {:.2f}\n"
      "stall  {:.0f} ms for a save, a step takes {:.0f} ms: {:.2f} % at interval {:.0f}\n"
      "memory {:.2f} GB more on rank 0 while saving\n",
      bytes / 1e9, job.size(), arguments.rounds, bytes / write / 1e9, bytes / save / 1e9,
      write / save, bytes / read / 1e9, bytes / load / 1e9, read / load, stall * 1e3,
      times.step * 1e3, 100 * stall / (kInterval * times.step), kInterval,
      static_cast<double>(times.extra_memory) / 1e9);
  return ExitCode::done;
}

ExitCode bench_checkpoint(const Arguments& arguments) {
  const auto job = start_job();
  return measured_after(
      *job, [&] { check(arguments, *job); }, [&] { return measure(arguments, *job); });
}

}  // namespace

void add_bench_checkpoint(CLI::App& bench, Command& chosen) {
  auto* command = bench.add_subcommand(
      "checkpoint", "saving and loading a model against plain files on the same disk");
  auto arguments = std::make_shared<Arguments>();
  const auto count = [&](const char* flag, auto& field, const char* help) {
    command->add_option(flag, field, help)->capture_default_str()->check(CLI::PositiveNumber);
  };
  count("--layers", arguments->layers, "layers");
  count("--hidden", arguments->hidden, "hidden size, a multiple of 64");
  count("--tp", arguments->tensor, "tensor-parallel ranks");
  count("--pp", arguments->pipeline, "pipeline ranks");
  count("--rounds", arguments->rounds, "rounds");
  command->add_option("--folder", arguments->folder, "on the disk to measure; made and removed")
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "the result as JSON");
  command->footer("Example:\n  mpirun -np 2 trireme bench checkpoint --folder /scratch/bench");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return bench_checkpoint(*arguments); }; });
}

}  // namespace trireme::launch
