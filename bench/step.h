#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"
#include "models/shape.h"
#include "runtime/comm/communicator.h"

namespace trireme::bench {

struct StepOptions {
  models::Shape model;
  std::int64_t sequence_length = 256;
  std::int64_t micro_batch = 8;    // samples of one pass of one rank
  std::int64_t micro_batches = 1;  // of one step, on each replica
  int tensor = 1, pipeline = 1;    // ranks of a replica; the others are replicas
  std::string schedule = "1f1b";
  std::int64_t steps = 10;
  std::int64_t warmup = 2;  // steps not counted
};

// Whole training steps, on random tokens, of all ranks of `world`.
struct StepTimes {
  std::vector<double> seconds;  // of each counted step
  std::int64_t tokens_per_step = 0;
  double flops_per_token = 0;  // causal
  double first_loss = 0, last_loss = 0;
};

StepTimes run_steps(kernels::Backend& backend, runtime::Communicator& world,
                    const StepOptions& options);

}  // namespace trireme::bench
