#include "runtime/train/batches.h"

namespace trireme::runtime {

HostBatch Batches::read(std::int64_t first_sample, std::int64_t micro_batch) const {
  HostBatch batch;
  std::vector<std::int32_t> sample(static_cast<std::size_t>(sequence_length()) + 1);
  const std::int64_t begin =
      first_sample + split_.data_rank * split_.per_rank() + micro_batch * split_.micro_batch;
  for (std::int64_t i = begin; i < begin + split_.micro_batch; ++i) {
    sampler_.sample(i, sample);
    batch.tokens.insert(batch.tokens.end(), sample.begin(), sample.end() - 1);
    batch.targets.insert(batch.targets.end(), sample.begin() + 1, sample.end());
  }
  return batch;
}

}  // namespace trireme::runtime
