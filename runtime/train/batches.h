#pragma once

#include <cstdint>
#include <vector>

#include "data/sampler.h"

namespace trireme::runtime {

// Tokens of a micro-batch in host memory: each of a sample's first sequence_length tokens, and the
// token that follows it.
struct HostBatch {
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> targets;
};

// How a step's samples are shared out.
struct BatchSplit {
  std::int64_t global_batch = 1;  // samples of one step, over all ranks
  std::int64_t micro_batch = 1;   // samples of one pass
  int data_rank = 0;
  int data_ranks = 1;

  std::int64_t per_rank() const { return global_batch / data_ranks; }
  std::int64_t micro_batches() const { return per_rank() / micro_batch; }
};

// Which samples this rank works on: rank r of n takes the r-th of n equal blocks of a step, so the
// samples of a step are the same for every number of ranks.
class Batches {
 public:
  Batches(const data::Sampler& sampler, BatchSplit split) : sampler_(sampler), split_(split) {}

  const BatchSplit& split() const { return split_; }
  std::int64_t sequence_length() const { return sampler_.sequence_length(); }

  // Micro-batch `micro_batch` of the step whose first sample is `first_sample`.
  HostBatch read(std::int64_t first_sample, std::int64_t micro_batch) const;

 private:
  const data::Sampler& sampler_;
  BatchSplit split_;
};

}  // namespace trireme::runtime
