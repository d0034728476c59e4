#include "optim/adamw.h"

#include <utility>

#include "kernels/check.h"

namespace trireme::optim {

using kernels::Category;
using kernels::Stream;
using kernels::View;

AdamW::AdamW(kernels::Backend& backend, Stream& stream, View parameters,
             std::vector<Segment> segments, AdamWOptions options)
    : backend_(backend),
      parameters_(parameters),
      segments_(std::move(segments)),
      options_(options) {
  const auto dtype = kernels::accumulator_of(parameters.dtype);
  const auto state = [&] {
    auto tensor = backend.allocate(stream, parameters.shape(), dtype, Category::optimizer);
    backend.run(stream, kernels::Fill{.out = tensor, .value = 0});
    return tensor;
  };
  first_moment_ = state();
  second_moment_ = state();
  if (parameters.dtype != dtype) master_ = state();
}

void AdamW::update(Stream& stream, View gradient, double learning_rate, double gradient_scale,
                   std::int64_t step) {
  for (const Segment& segment : segments_) {
    const auto part = [&](View view) { return view.column_range(segment.first, segment.count); };
    backend_.run(stream, kernels::AdamW{.master = part(master()),
                                        .first_moment = part(first_moment_),
                                        .second_moment = part(second_moment_),
                                        .gradient = part(gradient),
                                        .parameter = master_ ? part(parameters_) : View(),
                                        .learning_rate = learning_rate,
                                        .beta1 = options_.beta1,
                                        .beta2 = options_.beta2,
                                        .epsilon = options_.epsilon,
                                        .weight_decay = segment.decays ? options_.weight_decay : 0,
                                        .gradient_scale = gradient_scale,
                                        .step = step});
  }
}

std::vector<View> AdamW::state() const {
  std::vector<View> views{parameters_, first_moment_, second_moment_};
  if (master_) views.push_back(master_);
  return views;
}

void AdamW::keep(Stream& stream) {
  const auto views = state();
  if (kept_.empty()) {
    for (const View& view : views) {
      kept_.push_back(backend_.allocate(stream, view.shape(), view.dtype, Category::optimizer));
    }
  }
  for (std::size_t i = 0; i < views.size(); ++i) {
    backend_.run(stream, kernels::Convert{.x = views[i], .out = kept_[i]});
  }
}

void AdamW::restore(Stream& stream) {
  kernels::expects(!kept_.empty(), "adamw: a state that was kept");
  const auto views = state();
  for (std::size_t i = 0; i < views.size(); ++i) {
    backend_.run(stream, kernels::Convert{.x = kept_[i], .out = views[i]});
  }
}

}  // namespace trireme::optim
