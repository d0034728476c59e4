#pragma once

#include <vector>

#include "bench/random_run.h"

namespace trireme::bench {

// Whole training steps, on random tokens, of all ranks of `world`.
struct StepTimes {
  std::vector<double> seconds;       // of each counted step
  std::vector<double> host_seconds;  // in which the host of this rank worked
  std::int64_t tokens_per_step = 0;
  double flops_per_token = 0;  // causal
  double first_loss = 0, last_loss = 0;
  std::int64_t peak_memory = 0, reserved_memory = 0;  // bytes, of this rank
};

StepTimes run_steps(kernels::Backend& backend, runtime::Communicator& world,
                    const StepOptions& options);

}  // namespace trireme::bench
