#include "launch/commands/bench_collectives.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "bench/collectives.h"
#include "launch/commands/bench_device.h"

namespace trireme::launch {
namespace {

using nlohmann::ordered_json;

struct Arguments {
  BenchDevice device;
  std::vector<double> kibibytes{4, 64, 1024, 16384, 65536};
  bench::CollectivesOptions options;
  bool json = false;
};

bench::CollectivesOptions options_of(const Arguments& arguments, const RankSetup& setup,
                                     const Job& job) {
  if (job.size() < 2) {
    throw UsageError("measures what ranks tell each other: start two or more, with mpirun or srun");
  }
  bench::CollectivesOptions options = arguments.options;
  const auto names = bench::collective_names();
  const auto is_named = [&](const std::string& name) {
    return name.find(options.only) != std::string::npos;
  };
  if (std::ranges::none_of(names, is_named)) {
    std::string listed;
    for (const std::string& name : names) listed += (listed.empty() ? "" : ", ") + name;
    throw UsageError("--only " + options.only + ": no operation has this name; there are " +
                     listed);
  }
  constexpr double kSmallest = 1.0 / 1024, kLargest = 64.0 * 1024 * 1024;  // KiB
  for (const double size : arguments.kibibytes) {
    if (!(size >= kSmallest && size <= kLargest)) {
      throw UsageError(fmt::format("--sizes {}: must be 1 byte to 64 GiB, in KiB", size));
    }
    options.bytes.push_back(static_cast<std::int64_t>(size * 1024));
  }
  options.dtype = dtype_of(arguments.device, setup);
  return options;
}

// What a neighbor's message reaches, at the size at which it is fastest: collectives consist of
// such messages. Nothing if none was measured.
double limit_of(const std::vector<bench::CollectiveTime>& times) {
  double limit = 0;
  for (const auto& time : times) {
    if (time.name == "exchange") limit = std::max(limit, time.bus_rate);
  }
  return limit;
}

// "4 KiB", "1.5 MiB".
std::string size_text(std::int64_t bytes) {
  constexpr double kKibi = 1024;
  const double kibibytes = static_cast<double>(bytes) / kKibi;
  return kibibytes < kKibi ? fmt::format("{:.4g} KiB", kibibytes)
                           : fmt::format("{:.4g} MiB", kibibytes / kKibi);
}

void print(const RankSetup& setup, int ranks, const bench::CollectivesOptions& options,
           const std::vector<bench::CollectiveTime>& times) {
  fmt::print("{} ranks on {}, by {}, {}\n{:<16} {:>12} {:>12} {:>14} {:>16}\n", ranks,
             setup.backend->description(), setup.transport, name_of(options.dtype), "operation",
             "size", "time", "bus", "of an exchange");
  const double limit = limit_of(times);
  for (const auto& time : times) {
    const std::string share = limit > 0 ? fmt::format("{:.0f} %", 100 * time.bus_rate / limit) : "";
    fmt::print("{:<16} {:>12} {:>9.1f} us {:>9.3f} GB/s {:>16}\n", time.name, size_text(time.bytes),
               time.seconds * 1e6, time.bus_rate / 1e9, share);
  }
}

ordered_json json_of(const RankSetup& setup, int ranks, const bench::CollectivesOptions& options,
                     const std::vector<bench::CollectiveTime>& times) {
  ordered_json rows = ordered_json::array();
  for (const auto& time : times) {
    rows.push_back({{"operation", time.name},
                    {"bytes", time.bytes},
                    {"seconds", time.seconds},
                    {"bus_bytes_per_second", time.bus_rate}});
  }
  ordered_json json = {{"ranks", ranks},
                       {"device", setup.backend->description()},
                       {"transport", setup.transport},
                       {"dtype", name_of(options.dtype)},
                       {"operations", rows}};
  if (const double limit = limit_of(times); limit > 0) json["exchange_bytes_per_second"] = limit;
  return json;
}

ExitCode bench_collectives(const Arguments& arguments) {
  const auto job = start_job();
  RankSetup setup;
  bench::CollectivesOptions options;
  const auto prepare = [&] {
    setup = make_bench_device(arguments.device, *job);
    options = options_of(arguments, setup, *job);
  };
  return measured_after(*job, prepare, [&] {
    const auto world = make_world(setup, *job);
    // The world itself may go through host memory: training uses groups split from it.
    const auto group = world->split(0, "collectives");
    const auto times = bench::run_collectives(*setup.backend, *group, options);
    if (job->rank() != 0) return ExitCode::done;
    if (arguments.json) {
      std::puts(json_of(setup, job->size(), options, times).dump().c_str());
    } else {
      print(setup, job->size(), options, times);
    }
    return ExitCode::done;
  });
}

}  // namespace

void add_bench_collectives(CLI::App& bench, Command& chosen) {
  auto* command =
      bench.add_subcommand("collectives", "what ranks tell each other: time and bandwidth by size");
  // Lives as long as the parser that fills it in.
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option("--sizes", arguments->kibibytes,
                   "of the buffer on each rank, in KiB, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--only", arguments->options.only, "operations whose name contains this");
  command->add_option("--seconds", arguments->options.seconds, "to spend on each size")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  add_bench_device(*command, arguments->device);
  command->add_flag("--json", arguments->json, "the result as JSON");
  command->footer(
      "\"bus\" is what has to go over the link of a rank at the least, per second: 2 (n-1)/n of\n"
      "the buffer for all_reduce among n ranks, (n-1)/n for reduce_scatter, all_gather and\n"
      "all_to_all, all of it for broadcast and exchange, in which each rank sends to the next.\n\n"
      "Examples:\n"
      "  mpirun -np 2 trireme bench collectives\n"
      "  srun --mpi=pmix -n 16 trireme bench collectives --device cuda --only all_gather");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return bench_collectives(*arguments); }; });
}

}  // namespace trireme::launch
