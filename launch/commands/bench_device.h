#pragma once

#include <functional>
#include <string>

#include "launch/bootstrap.h"
#include "launch/commands/commands.h"
#include "launch/rank_setup.h"

namespace trireme::launch {

// What a benchmark runs on, and in which numbers.
struct BenchDevice {
  std::string device = "auto";
  std::string dtype = "auto";
  int threads = 0;  // of a rank on the CPU; 0: its share of the cores
};

// Adds --device, --dtype and --threads.
void add_bench_device(CLI::App& command, BenchDevice& device);

// The backend of this rank. Throws UsageError if it is to be CUDA and there is none.
RankSetup make_bench_device(const BenchDevice& device, const Job& job);

// What `measure` returns, or the code with which all ranks end that `setup` sends home: it throws
// UsageError, and one of them says so.
ExitCode measured_after(Job& job, const std::function<void()>& setup,
                        const std::function<ExitCode()>& measure);

// bf16 on CUDA, fp32 on the CPU, if it was not said.
kernels::Dtype dtype_of(const BenchDevice& device, const RankSetup& setup);

}  // namespace trireme::launch
