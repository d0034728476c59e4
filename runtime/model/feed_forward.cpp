#include "runtime/model/feed_forward.h"

#include <utility>

namespace trireme::runtime {
namespace {

using kernels::Category;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

Weight up_weight(const ParameterBuffers& buffers, const std::string& name, bool gated) {
  return gated ? buffers.joined({name + ".gate_proj.weight", name + ".up_proj.weight"})
               : buffers.weight(name + ".up_proj.weight");
}

}  // namespace

FeedForward::FeedForward(const LayerContext& context, const std::string& name)
    : backend_(context.backend),
      gated_(context.shape.family == models::Family::llama),
      pair_(context.ranks,
            Linear(context.backend, up_weight(context.buffers, name, gated_),
                   context.buffers.find(name + ".up_proj.bias")),
            Linear(context.backend, context.buffers.weight(name + ".down_proj.weight"),
                   context.added_to_sum(name + ".down_proj.bias"))),
      width_(pair_.inner_columns()) {}

Tensor FeedForward::forward(Stream& stream, Tensor x, Saved& saved) const {
  begin(stream, std::move(x), saved);
  return pair_.second(stream, saved.pair.inner);
}

void FeedForward::begin(Stream& stream, Tensor x, Saved& saved) const {
  saved.inner = pair_.first(stream, x);
  saved.pair.x = std::move(x);
  activate(stream, saved);
}

void FeedForward::drop(Saved& saved) { saved.pair = {}; }

void FeedForward::restore(Stream& stream, Tensor x, Saved& saved) const {
  saved.pair.x = std::move(x);
  activate(stream, saved);
}

void FeedForward::activate(Stream& stream, Saved& saved) const {
  const View inner = saved.inner;
  saved.pair.inner =
      backend_.allocate(stream, {inner.rows, width_}, inner.dtype, Category::activations);
  if (gated_) {
    backend_.run(stream, kernels::SwiGlu{.gate = inner.column_range(0, width_),
                                         .up = inner.column_range(width_, width_),
                                         .out = saved.pair.inner});
  } else {
    backend_.run(stream, kernels::Gelu{.x = inner, .out = saved.pair.inner});
  }
}

LinearPair::Between FeedForward::activation_gradient(Stream& stream, Saved& saved) const {
  return [this, &stream, &saved](View d_activated) {
    const View inner = saved.inner;
    Tensor gradient = backend_.allocate(stream, inner.shape(), inner.dtype, Category::activations);
    const View d_inner = gradient;
    if (gated_) {
      backend_.run(stream, kernels::SwiGluBackward{.gate = inner.column_range(0, width_),
                                                   .up = inner.column_range(width_, width_),
                                                   .d_out = d_activated,
                                                   .d_gate = d_inner.column_range(0, width_),
                                                   .d_up = d_inner.column_range(width_, width_)});
    } else {
      backend_.run(stream, kernels::GeluBackward{.x = inner, .d_out = d_activated, .d_x = d_inner});
    }
    saved.inner.reset();
    return gradient;
  };
}

Tensor FeedForward::backward_input(Stream& stream, Tensor d_out, Saved& saved) const {
  return pair_.backward_input(stream, std::move(d_out), saved.pair,
                              activation_gradient(stream, saved));
}

Tensor FeedForward::backward(Stream& stream, Tensor d_out, Saved& saved) const {
  return pair_.backward(stream, std::move(d_out), saved.pair, activation_gradient(stream, saved));
}

}  // namespace trireme::runtime
