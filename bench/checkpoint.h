#pragma once

#include <filesystem>
#include <vector>

#include "bench/random_run.h"

namespace trireme::bench {

struct CheckpointOptions {
  StepOptions step = {};
  std::filesystem::path folder = {};  // on the disk to be measured; made, and removed afterwards
  int rounds = 5;
};

// Times in seconds, of each round, until the slowest rank is done; limits and checkpoints
// alternate.
struct CheckpointTimes {
  std::uint64_t bytes = 0;          // of weights and moments, of all ranks
  std::vector<double> plain_write;  // as many, each rank one file in large writes, and synced
  std::vector<double> save;         // until the checkpoint is committed
  std::vector<double> stall;        // of that, until training could go on
  std::vector<double> plain_read;   // of the shard files, from the disk
  std::vector<double> load;         // into the model, from the disk, checked
  double step = 0;                  // of training, the median
  std::uint64_t extra_memory = 0;   // most that saving added to this rank's
};

// Saves and loads a model on all ranks of `world`. Collective.
CheckpointTimes run_checkpoints(kernels::Backend& backend, runtime::Communicator& world,
                                const CheckpointOptions& options);

}  // namespace trireme::bench
