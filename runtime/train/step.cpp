#include "runtime/train/step.h"

#include <chrono>
#include <cmath>
#include <span>
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

// Before any work is enqueued, so that a failure to read leaves nothing half done.
std::vector<HostBatch> read_all(const Batches& batches, std::int64_t first_sample) {
  std::vector<HostBatch> samples;
  for (std::int64_t m = 0; m < batches.split().micro_batches(); ++m) {
    samples.push_back(batches.read(first_sample, m));
  }
  return samples;
}

}  // namespace

TrainingStep::TrainingStep(kernels::Backend& backend, kernels::Stream& compute, const Stage& stage,
                           DataParallel& data_parallel, double clip_norm,
                           optim::LossScale loss_scale)
    : backend_(backend),
      compute_(compute),
      stage_(stage),
      data_parallel_(data_parallel),
      clip_norm_(clip_norm),
      loss_scale_(loss_scale),
      loss_(backend.allocate(compute, {1, 1}, Dtype::f64, Category::workspace)) {}

StepResult TrainingStep::run(const Batches& batches, std::int64_t first_sample,
                             double learning_rate, bool stop) {
  StepResult result{.loss_scale = loss_scale_.value()};
  const double targets = target_count(batches);
  const auto start = std::chrono::steady_clock::now();
  std::vector<HostBatch> samples = read_all(batches, first_sample);
  result.data_seconds = seconds_since(start);
  data_parallel_.begin_step();
  clear_loss();
  std::vector<Loaded> loaded;
  for (HostBatch& host : samples) {
    const bool last = &host == &samples.back();
    loaded.push_back(load(std::move(host)));
    Stage::Saved saved;
    stage_.forward(compute_, {}, micro_batch(loaded.back(), result.loss_scale / targets), saved,
                   gather());
    stage_.backward(compute_, {}, std::move(saved), [&](int unit) {
      if (last) data_parallel_.gradients_complete(unit);
    });
  }
  const Totals totals = data_parallel_.reduce_totals(loss_, stop);
  result.loss = totals.loss / targets;
  result.gradient_norm = std::sqrt(totals.squared_norm) / result.loss_scale;
  result.skipped = !std::isfinite(result.gradient_norm);
  result.stop = totals.stop;
  if (!result.skipped) {
    const double clip = optim::clip_factor(result.gradient_norm, clip_norm_);
    data_parallel_.update(learning_rate, clip / result.loss_scale, ++updates_);
  }
  loss_scale_.update(result.skipped);
  return result;
}

double TrainingStep::evaluate(const Batches& batches, std::int64_t first_sample) {
  clear_loss();
  std::vector<Loaded> loaded;
  for (HostBatch& host : read_all(batches, first_sample)) {
    loaded.push_back(load(std::move(host)));
    stage_.evaluate(compute_, {}, micro_batch(loaded.back(), 1), gather());
  }
  return data_parallel_.reduce_loss(loss_) / target_count(batches);
}

TrainingStep::Loaded TrainingStep::load(HostBatch host) {
  Loaded loaded{.host = std::move(host), .tokens = {}, .targets = {}};
  const auto upload = [&](const std::vector<std::int32_t>& ids) {
    auto tensor = backend_.allocate(compute_, {static_cast<std::int64_t>(ids.size()), 1},
                                    Dtype::i32, Category::activations);
    backend_.upload(compute_, std::as_bytes(std::span(ids)), tensor);
    return tensor;
  };
  loaded.tokens = upload(loaded.host.tokens);
  loaded.targets = upload(loaded.host.targets);
  return loaded;
}

MicroBatch TrainingStep::micro_batch(const Loaded& loaded, double gradient_scale) const {
  return {.tokens = loaded.tokens,
          .target = {.tokens = loaded.targets, .loss = loss_, .gradient_scale = gradient_scale}};
}

void TrainingStep::clear_loss() { backend_.run(compute_, kernels::Fill{.out = loss_, .value = 0}); }

}  // namespace trireme::runtime
