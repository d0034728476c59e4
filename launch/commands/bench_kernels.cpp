#include "launch/commands/bench_kernels.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "bench/kernels.h"
#include "launch/commands/bench_device.h"

namespace trireme::launch {
namespace {

using nlohmann::ordered_json;

struct Arguments {
  BenchDevice device;
  bench::KernelOptions options;
  std::optional<bool> large;
  bool json = false;
};

ordered_json json_of(const bench::KernelResult& result) {
  ordered_json row{{"name", result.name},          {"shape", result.shape},
                   {"seconds", result.seconds},    {"rate", result.rate},
                   {"limit", result.limit},        {"unit", result.is_bandwidth ? "B/s" : "FLOP/s"},
                   {"fraction", result.fraction()}};
  if (result.fastest_way > 0) row["fraction_of_fastest_way"] = result.fastest_way / result.seconds;
  return row;
}

void print(const bench::KernelResult& result) {
  const char* unit = result.is_bandwidth ? "GB/s" : "GFLOP/s";
  const std::string of_fastest =
      result.fastest_way > 0
          ? fmt::format("  {:.0f} % of its fastest way", 100 * result.fastest_way / result.seconds)
          : "";
  fmt::print("{:<26} {:<50} {:>8.3f} ms {:>8.1f} {:<7} {:>8.1f} {:<7} {:>4.0f} %{}\n", result.name,
             result.shape, result.seconds * 1e3, result.rate / 1e9, unit, result.limit / 1e9, unit,
             result.fraction() * 100, of_fastest);
}

ExitCode measure(const Arguments& arguments, const RankSetup& setup) {
  bench::KernelOptions options = arguments.options;
  options.dtype = dtype_of(arguments.device, setup);
  options.large = arguments.large.value_or(setup.loaded.config.train.device == Device::cuda);
  const auto results = bench::run_kernels(*setup.backend, options);
  if (results.empty()) throw UsageError("--only " + options.only + ": no operation has this name");
  if (arguments.json) {
    ordered_json rows = ordered_json::array();
    for (const auto& result : results) rows.push_back(json_of(result));
    std::printf("%s\n", ordered_json{{"device", setup.backend->description()},
                                     {"dtype", name_of(options.dtype)},
                                     {"kernels", rows}}
                            .dump()
                            .c_str());
    return ExitCode::done;
  }
  fmt::print("{}, {}, limits measured in this run\n{:<26} {:<50} {:>11} {:>16} {:>16} {:>6}\n",
             setup.backend->description(), name_of(options.dtype), "operation", "shape", "time",
             "rate", "limit", "share");
  for (const auto& result : results) print(result);
  return ExitCode::done;
}

ExitCode bench_kernels(const Arguments& arguments) {
  const auto job = start_job();
  RankSetup setup;
  const auto prepare = [&] {
    if (job->size() > 1) throw UsageError("bench kernels measures one device: start one rank");
    setup = make_bench_device(arguments.device, *job);
  };
  return measured_after(*job, prepare, [&] { return measure(arguments, setup); });
}

}  // namespace

void add_bench_kernels(CLI::App& bench, Command& chosen) {
  auto* command = bench.add_subcommand(
      "kernels", "each operation against this machine's peak or copy bandwidth");
  // Lives as long as the parser that fills it in.
  auto arguments = std::make_shared<Arguments>();
  add_bench_device(*command, arguments->device);
  command->add_flag("--large,!--small", arguments->large,
                    "shapes that fill a GPU, or those for a CPU; default: by the device");
  command->add_option("--only", arguments->options.only, "operations whose name contains this");
  command->add_option("--seconds", arguments->options.seconds, "to spend on each operation")
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "the result as JSON");
  command->footer(
      "Examples:\n"
      "  trireme bench kernels --threads 1\n"
      "  trireme bench kernels --device cuda --only attention");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return bench_kernels(*arguments); }; });
}

}  // namespace trireme::launch
