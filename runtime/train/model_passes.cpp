#include "runtime/train/model_passes.h"

#include <algorithm>
#include <span>

#include "kernels/check.h"

namespace trireme::runtime {

using kernels::Category;
using kernels::Dtype;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

LoadedBatches::LoadedBatches(kernels::Backend& backend, Stream& stream, HostPool& pool,
                             const std::vector<HostBatch>& batches, double gradient_scale)
    : backend_(backend),
      stream_(stream),
      gradient_scale_(gradient_scale),
      count_(static_cast<int>(batches.size())) {
  if (!batches.empty()) tokens_ = static_cast<std::int64_t>(batches.front().tokens.size());
  if (tokens_ > 0) {
    ids_ = backend.allocate(stream, {2 * tokens_ * count_, 1}, Dtype::i32, Category::activations);
    host_ = pool.take(ids_.view().bytes());
    std::byte* next = host_.get();
    for (const HostBatch& batch : batches) {
      for (const auto* ids : {&batch.tokens, &batch.targets}) {
        next = std::ranges::copy(std::as_bytes(std::span(*ids)), next).out;
      }
    }
    backend.upload(stream, {host_.get(), ids_.view().bytes()}, ids_);
  }
  losses_ = backend.allocate(stream, {count_, 1}, Dtype::f64, Category::workspace);
  backend.run(stream, kernels::Fill{.out = losses_, .value = 0});
}

MicroBatch LoadedBatches::micro_batch(int i) const {
  const auto ids = [&](int part) {
    return tokens_ > 0 ? ids_.view().row_range((2 * i + part) * tokens_, tokens_) : View();
  };
  return {.tokens = ids(0),
          .target = {.tokens = ids(1),
                     .loss = losses_.view().row_range(i, 1),
                     .gradient_scale = gradient_scale_}};
}

void LoadedBatches::add_losses(View total) const {
  backend_.run(stream_, kernels::ColumnSum{.x = losses_, .out = total});
}

ModelPasses::ModelPasses(Stream& compute, const RankModel& model, DataParallel& data_parallel,
                         const LoadedBatches& batches)
    : compute_(compute), model_(model), data_parallel_(data_parallel), batches_(batches) {}

Tensor ModelPasses::forward(int stage, int micro_batch, Tensor x) {
  return model_.stage(stage).forward(compute_, std::move(x), batches_.micro_batch(micro_batch),
                                     saved_[{stage, micro_batch}],
                                     [this](int unit) { data_parallel_.before_unit(unit); });
}

void ModelPasses::drop(int stage, int micro_batch) { Stage::drop(saved_.at({stage, micro_batch})); }

void ModelPasses::recompute(int stage, int micro_batch) {
  model_.stage(stage).restore(compute_, saved_.at({stage, micro_batch}));
}

Tensor ModelPasses::backward_input(int stage, int micro_batch, Tensor d_out) {
  const auto saved = saved_.find({stage, micro_batch});
  kernels::expects(saved != saved_.end(), "backward pass of a micro-batch that went forward");
  return model_.stage(stage).backward_input(compute_, std::move(d_out), saved->second);
}

void ModelPasses::backward_weight(int stage, int micro_batch) {
  model_.stage(stage).backward_weight(compute_, take(stage, micro_batch), after_unit(stage));
}

Tensor ModelPasses::backward(int stage, int micro_batch, Tensor d_out) {
  return model_.stage(stage).backward(compute_, std::move(d_out), take(stage, micro_batch),
                                      after_unit(stage));
}

Stage::Saved ModelPasses::take(int stage, int micro_batch) {
  auto saved = saved_.extract({stage, micro_batch});
  kernels::expects(!saved.empty(), "backward pass of a micro-batch that went forward");
  return std::move(saved.mapped());
}

// A unit's gradients are complete with the last micro-batch, whichever that is.
UnitCallback ModelPasses::after_unit(int stage) {
  const bool last = ++weight_passes_[stage] == batches_.count();
  return [this, last](int unit) {
    if (last) data_parallel_.gradients_complete(unit);
  };
}

EvaluationPasses::EvaluationPasses(Stream& compute, const RankModel& model,
                                   DataParallel& data_parallel, const LoadedBatches& batches)
    : compute_(compute), model_(model), data_parallel_(data_parallel), batches_(batches) {}

Tensor EvaluationPasses::forward(int stage, int micro_batch, Tensor x) {
  return model_.stage(stage).evaluate(compute_, std::move(x), batches_.micro_batch(micro_batch),
                                      [this](int unit) { data_parallel_.before_unit(unit); });
}

}  // namespace trireme::runtime
