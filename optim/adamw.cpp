#include "optim/adamw.h"

#include <utility>

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

}  // namespace trireme::optim
