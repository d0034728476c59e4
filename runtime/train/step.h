#pragma once

#include <cstdint>
#include <vector>

#include "optim/gradient_scale.h"
#include "runtime/model/rank_model.h"
#include "runtime/pipeline/executor.h"
#include "runtime/train/batches.h"
#include "runtime/train/data_parallel.h"
#include "runtime/train/model_passes.h"

namespace trireme::runtime {

struct StepResult {
  double loss = 0;           // mean over all targets of the step, in nats
  double gradient_norm = 0;  // before clipping
  double loss_scale = 1;     // that this step was taken with
  bool skipped = false;      // a gradient was not finite; nothing was updated
  bool stop = false;         // some rank asked to stop
  double data_seconds = 0;   // this rank spent on reading samples
};

// One training step: forward and backward of every micro-batch, reduce, clip, update.
class TrainingStep {
 public:
  // What a step runs on; all of it is borrowed.
  struct Parts {
    kernels::Backend& backend;
    kernels::Stream& compute;
    const RankModel& model;
    DataParallel& data_parallel;
    Executor& training;    // of a program with as many micro-batches as a step has
    Executor& evaluation;  // of the same, with forward passes only
  };

  TrainingStep(Parts parts, double clip_norm, optim::LossScale loss_scale);

  // The samples from `first_sample`. Collective over the world. Blocks until the result is known;
  // the update may still be on its way.
  StepResult run(const Batches& batches, std::int64_t first_sample, double learning_rate,
                 bool stop);

  // The mean loss of the samples from `first_sample`, without learning from them. Collective.
  double evaluate(const Batches& batches, std::int64_t first_sample);

  // Updates made so far: steps that were not skipped.
  std::int64_t updates() const { return updates_; }

 private:
  void sum_losses(const LoadedBatches& batches);

  Parts parts_;
  double clip_norm_;
  optim::LossScale loss_scale_;
  kernels::Tensor loss_;
  std::int64_t updates_ = 0;
};

}  // namespace trireme::runtime
