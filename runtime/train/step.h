#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

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
  bool taken_back = false;   // an update was made too early and had to be made again, or not at all
  double data_seconds = 0;   // this rank spent on reading samples
  double bubble = 0;         // measured share of time that ranks of its pipeline had no pass to run
};

struct TrainingStepOptions {
  double clip_norm = 1;
  optim::LossScale loss_scale;
  // Optimizer post-validation (Qi et al. 2023, https://arxiv.org/abs/2401.10241, section 4): a rank
  // updates its parameters when it knows the gradients of its own stage, and begins the next step.
  // If the gradients of all stages then turn out to need clipping, or not to be finite, it takes
  // both back. Done as long as the last step known needed neither.
  bool post_validation = false;
};

// Training steps: forward and backward of every micro-batch, reduce, clip, update. For each step
// `start`, `finish` and `settle`, in this order; only where a step stays open may the next one
// start before it is settled. All are collective over the world.
class TrainingStep {
 public:
  // What a step runs on; all of it is borrowed.
  struct Parts {
    kernels::Backend& backend;
    kernels::Stream& compute;
    const RankModel& model;
    DataParallel& data_parallel;
    Executor& training;    // of a program with as many micro-batches as a step has
    Executor* evaluation;  // of the same, with forward passes only; nothing: there is none
  };

  TrainingStep(Parts parts, TrainingStepOptions options);

  // The samples from `first_sample`. While the step before is open, as much as can be taken back.
  void start(const Batches& batches, std::int64_t first_sample);
  // The rest, up to the update or a guess at it.
  void finish(double learning_rate, const std::atomic<bool>& stop);
  // Every rank may start the next step now.
  bool is_open() const { return last_ && last_->stays_open; }
  // Blocks until the result of the last finished step is known, and makes it so: the update may
  // still be on its way.
  StepResult settle();
  // The step that was started is not to be.
  void abandon();

  // The mean loss of the samples from `first_sample`, without learning from them. Collective.
  double evaluate(const Batches& batches, std::int64_t first_sample);

  // Updates made so far: steps that were not skipped.
  std::int64_t updates() const { return updates_; }
  const optim::LossScale& loss_scale() const { return options_.loss_scale; }
  // Between steps: goes on from these.
  void go_on(std::int64_t updates, const optim::LossScale& scale) {
    updates_ = updates;
    options_.loss_scale = scale;
  }

 private:
  struct Started {
    Started(const Parts& parts, HostPool& host, const Batches& from, std::int64_t first,
            double scale);

    const Batches& batches;
    std::int64_t first_sample;
    double loss_scale;
    double data_seconds = 0;
    LoadedBatches loaded;
    ModelPasses passes;
    bool begun = false;  // the executor has
  };

  // Finished and not settled.
  struct Last {
    double targets;  // of the step
    double loss_scale;
    double data_seconds;
    double learning_rate;
    bool stays_open;
    bool updated = false;  // by a guess
  };

  StepResult result_of(const Last& last, const Totals& totals) const;
  // Neither clipped nor skipped.
  bool is_plain(const StepResult& result) const;
  void update(const Last& last, double clip);
  void sum_losses(const LoadedBatches& batches);

  Parts parts_;
  TrainingStepOptions options_;
  HostPool host_;
  kernels::Tensor loss_;
  std::unique_ptr<Started> started_;
  std::optional<Last> last_;
  bool expects_plain_ = false;  // the last settled step was
  std::int64_t updates_ = 0;
};

}  // namespace trireme::runtime
