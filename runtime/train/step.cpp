#include "runtime/train/step.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "kernels/check.h"

namespace trireme::runtime {
namespace {

using kernels::Category;
using kernels::Dtype;
using kernels::View;

// Targets of a whole step, over all ranks: documents are packed, so every token has one.
double target_count(const Batches& batches) {
  return static_cast<double>(batches.split().global_batch * batches.sequence_length());
}

// Before any work is enqueued, so that a failure to read leaves nothing half done. Between the ends
// of a pipeline nobody reads tokens.
std::vector<HostBatch> read_all(const RankModel& model, const Batches& batches,
                                std::int64_t first_sample) {
  std::vector<HostBatch> samples(static_cast<std::size_t>(batches.split().micro_batches()));
  if (!model.has_end()) return samples;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i] = batches.read(first_sample, static_cast<std::int64_t>(i));
  }
  return samples;
}

WorkTimes work_times(const std::vector<schedules::Interval>& intervals) {
  if (intervals.empty()) return {};
  WorkTimes times{.first_start = intervals.front().start, .last_end = intervals.back().end};
  for (const auto& interval : intervals) times.work += interval.end - interval.start;
  return times;
}

auto timed(double& seconds, const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  auto result = work();
  seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace

TrainingStep::TrainingStep(Parts parts, TrainingStepOptions options)
    : parts_(parts),
      options_(options),
      host_(parts.backend),
      loss_(parts.backend.allocate(parts.compute, {1, 1}, Dtype::f64, Category::workspace)) {}

TrainingStep::Started::Started(const Parts& parts, HostPool& host, const Batches& from,
                               std::int64_t first, double scale)
    : batches(from),
      first_sample(first),
      loss_scale(scale),
      loaded(parts.backend, parts.compute, host,
             timed(data_seconds, [&] { return read_all(parts.model, from, first); }),
             scale / target_count(from)),
      passes(parts.compute, parts.model, parts.data_parallel, loaded) {}

void TrainingStep::start(const Batches& batches, std::int64_t first_sample) {
  optim::LossScale scale = options_.loss_scale;
  if (last_) scale.update(/*overflowed=*/false);
  started_ = std::make_unique<Started>(parts_, host_, batches, first_sample, scale.value());
  if (!last_) return;
  parts_.training.begin(started_->passes);
  started_->begun = true;
}

void TrainingStep::finish(double learning_rate, const std::atomic<bool>& stop) {
  Executor& executor = parts_.training;
  parts_.data_parallel.begin_step();
  if (started_->begun) {
    executor.finish(started_->passes);
  } else {
    executor.run(started_->passes);
  }
  executor.check_messages();
  sum_losses(started_->loaded);
  const Totals mine = parts_.data_parallel.reduce_stage_totals(loss_, stop);
  const WorkTimes times = work_times(executor.intervals());
  last_ = {.targets = target_count(started_->batches),
           .loss_scale = started_->loss_scale,
           .data_seconds = started_->data_seconds,
           .learning_rate = learning_rate,
           .stays_open = options_.post_validation && expects_plain_};
  started_.reset();
  // Of all stages the norm is no smaller: what this one rules out, nobody allows.
  if (last_->stays_open && is_plain(result_of(*last_, mine))) {
    parts_.data_parallel.keep();
    update(*last_, 1);
    last_->updated = true;
  }
  parts_.data_parallel.begin_totals(times);
}

StepResult TrainingStep::settle() {
  const Last last = *std::exchange(last_, std::nullopt);
  StepResult result = result_of(last, parts_.data_parallel.finish_totals());
  expects_plain_ = is_plain(result);
  options_.loss_scale.update(result.skipped);
  if (last.stays_open && expects_plain_) {
    kernels::expects(last.updated, "post-validation: a stage allows what all stages allow");
    return result;
  }
  if (last.updated) {
    parts_.data_parallel.roll_back();
    --updates_;
  }
  result.taken_back = last.stays_open;
  if (!result.skipped) update(last, optim::clip_factor(result.gradient_norm, options_.clip_norm));
  if (started_ && started_->begun) {
    const Batches& batches = started_->batches;
    const std::int64_t first_sample = started_->first_sample;
    abandon();
    started_ = std::make_unique<Started>(parts_, host_, batches, first_sample,
                                         options_.loss_scale.value());
  }
  return result;
}

void TrainingStep::abandon() {
  if (started_->begun) parts_.training.abandon();
  // Samples are on their way to the device.
  parts_.compute.synchronize();
  started_.reset();
}

StepResult TrainingStep::result_of(const Last& last, const Totals& totals) const {
  StepResult result{.loss = totals.loss / last.targets,
                    .gradient_norm = std::sqrt(totals.squared_norm) / last.loss_scale,
                    .loss_scale = last.loss_scale,
                    .stop = totals.stop,
                    .data_seconds = last.data_seconds,
                    .bubble = totals.bubble};
  result.skipped = !std::isfinite(result.gradient_norm);
  return result;
}

bool TrainingStep::is_plain(const StepResult& result) const {
  return !result.skipped && optim::clip_factor(result.gradient_norm, options_.clip_norm) == 1;
}

void TrainingStep::update(const Last& last, double clip) {
  parts_.data_parallel.update(last.learning_rate, clip / last.loss_scale, ++updates_);
}

double TrainingStep::evaluate(const Batches& batches, std::int64_t first_sample) {
  const LoadedBatches loaded(parts_.backend, parts_.compute, host_,
                             read_all(parts_.model, batches, first_sample), 1);
  EvaluationPasses passes(parts_.compute, parts_.model, parts_.data_parallel, loaded);
  parts_.evaluation->run(passes);
  parts_.evaluation->check_messages();
  sum_losses(loaded);
  return parts_.data_parallel.reduce_loss(loss_) / target_count(batches);
}

// Into loss_. Tensor-parallel ranks find the same loss: the first one counts.
void TrainingStep::sum_losses(const LoadedBatches& batches) {
  parts_.backend.run(parts_.compute, kernels::Fill{.out = loss_, .value = 0});
  if (parts_.model.ranks().rank() == 0) batches.add_losses(loss_);
}

}  // namespace trireme::runtime
