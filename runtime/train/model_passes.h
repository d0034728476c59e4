#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/model/rank_model.h"
#include "runtime/pipeline/passes.h"
#include "runtime/train/batches.h"
#include "runtime/train/data_parallel.h"
#include "runtime/train/host_pool.h"

namespace trireme::runtime {

// One step's micro-batches on the device, where a stage of this rank reads tokens or targets.
class LoadedBatches {
 public:
  // `gradient_scale` multiplies every loss before it is differentiated. Samples may be empty. Goes
  // when the stream has passed what was enqueued here.
  LoadedBatches(kernels::Backend& backend, kernels::Stream& stream, HostPool& pool,
                const std::vector<HostBatch>& batches, double gradient_scale);

  int count() const { return count_; }
  MicroBatch micro_batch(int i) const;

  // The sum of the losses of the micro-batches, added to `total`, (1, 1) of f64.
  void add_losses(kernels::View total) const;

 private:
  kernels::Backend& backend_;
  kernels::Stream& stream_;
  double gradient_scale_;
  int count_;
  std::int64_t tokens_ = 0;  // of a micro-batch
  std::shared_ptr<std::byte[]> host_;
  kernels::Tensor ids_;     // (2 * tokens * micro-batches, 1): of each, its tokens and its targets
  kernels::Tensor losses_;  // (micro-batches, 1) of f64
};

// The stages of a rank's model as an executor runs them in one training step.
class ModelPasses final : public Passes {
 public:
  ModelPasses(kernels::Stream& compute, const RankModel& model, DataParallel& data_parallel,
              const LoadedBatches& batches);

  kernels::Tensor forward(int stage, int micro_batch, kernels::Tensor x) override;
  void drop(int stage, int micro_batch) override;
  void recompute(int stage, int micro_batch) override;
  kernels::Tensor backward_input(int stage, int micro_batch, kernels::Tensor d_out) override;
  void backward_weight(int stage, int micro_batch) override;
  kernels::Tensor backward(int stage, int micro_batch, kernels::Tensor d_out) override;

 private:
  Stage::Saved take(int stage, int micro_batch);
  UnitCallback after_unit(int stage);

  kernels::Stream& compute_;
  const RankModel& model_;
  DataParallel& data_parallel_;
  const LoadedBatches& batches_;
  std::map<std::pair<int, int>, Stage::Saved> saved_;  // per stage and micro-batch
  std::map<int, int> weight_passes_;                   // done, per stage
};

// Forward passes with nothing saved.
class EvaluationPasses final : public Passes {
 public:
  EvaluationPasses(kernels::Stream& compute, const RankModel& model, DataParallel& data_parallel,
                   const LoadedBatches& batches);

  kernels::Tensor forward(int stage, int micro_batch, kernels::Tensor x) override;

 private:
  kernels::Stream& compute_;
  const RankModel& model_;
  DataParallel& data_parallel_;
  const LoadedBatches& batches_;
};

}  // namespace trireme::runtime
