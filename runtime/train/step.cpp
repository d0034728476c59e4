#include "runtime/train/step.h"

#include <chrono>
#include <cmath>
#include <utility>

namespace trireme::runtime {
namespace {

using kernels::Category;
using kernels::Dtype;
using kernels::View;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

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

}  // namespace

TrainingStep::TrainingStep(Parts parts, double clip_norm, optim::LossScale loss_scale)
    : parts_(parts),
      clip_norm_(clip_norm),
      loss_scale_(loss_scale),
      loss_(parts.backend.allocate(parts.compute, {1, 1}, Dtype::f64, Category::workspace)) {}

StepResult TrainingStep::run(const Batches& batches, std::int64_t first_sample,
                             double learning_rate, bool stop) {
  StepResult result{.loss_scale = loss_scale_.value()};
  const double targets = target_count(batches);
  const auto start = std::chrono::steady_clock::now();
  std::vector<HostBatch> samples = read_all(parts_.model, batches, first_sample);
  result.data_seconds = seconds_since(start);
  parts_.data_parallel.begin_step();
  const LoadedBatches loaded(parts_.backend, parts_.compute, std::move(samples),
                             result.loss_scale / targets);
  ModelPasses passes(parts_.compute, parts_.model, parts_.data_parallel, loaded);
  parts_.training.run(passes);
  parts_.training.check_messages();
  sum_losses(loaded);
  const Totals totals = parts_.data_parallel.reduce_totals(loss_, stop);
  result.loss = totals.loss / targets;
  result.gradient_norm = std::sqrt(totals.squared_norm) / result.loss_scale;
  result.skipped = !std::isfinite(result.gradient_norm);
  result.stop = totals.stop;
  if (!result.skipped) {
    const double clip = optim::clip_factor(result.gradient_norm, clip_norm_);
    parts_.data_parallel.update(learning_rate, clip / result.loss_scale, ++updates_);
  }
  loss_scale_.update(result.skipped);
  return result;
}

double TrainingStep::evaluate(const Batches& batches, std::int64_t first_sample) {
  const LoadedBatches loaded(parts_.backend, parts_.compute,
                             read_all(parts_.model, batches, first_sample), 1);
  EvaluationPasses passes(parts_.compute, parts_.model, parts_.data_parallel, loaded);
  parts_.evaluation.run(passes);
  parts_.evaluation.check_messages();
  sum_losses(loaded);
  return parts_.data_parallel.reduce_loss(loss_) / target_count(batches);
}

// Into loss_. Tensor-parallel ranks find the same loss: the first one counts.
void TrainingStep::sum_losses(const LoadedBatches& batches) {
  parts_.backend.run(parts_.compute, kernels::Fill{.out = loss_, .value = 0});
  if (parts_.model.ranks().rank() == 0) batches.add_losses(loss_);
}

}  // namespace trireme::runtime
