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
      ranks_(context.ranks),
      gated_(context.shape.family == models::Family::llama),
      up_(context.backend, up_weight(context.buffers, name, gated_),
          context.buffers.find(name + ".up_proj.bias")),
      down_(context.backend, context.buffers.weight(name + ".down_proj.weight"),
            context.added_to_sum(name + ".down_proj.bias")),
      width_(down_.inputs()) {}

Tensor FeedForward::forward(Stream& stream, Tensor x, Saved& saved) const {
  begin(stream, std::move(x), saved);
  return ranks_.sum(stream, down_.forward(stream, saved.activated));
}

void FeedForward::begin(Stream& stream, Tensor x, Saved& saved) const {
  saved.inner = up_.forward(stream, ranks_.gather(stream, x).all);
  saved.x = std::move(x);
  activate(stream, saved);
}

void FeedForward::drop(Saved& saved) {
  saved.x.reset();
  saved.activated.reset();
}

void FeedForward::restore(Stream& stream, Tensor x, Saved& saved) const {
  saved.x = std::move(x);
  activate(stream, saved);
}

void FeedForward::activate(Stream& stream, Saved& saved) const {
  const View inner = saved.inner;
  saved.activated =
      backend_.allocate(stream, {inner.rows, width_}, inner.dtype, Category::activations);
  if (gated_) {
    backend_.run(stream, kernels::SwiGlu{.gate = inner.column_range(0, width_),
                                         .up = inner.column_range(width_, width_),
                                         .out = saved.activated});
  } else {
    backend_.run(stream, kernels::Gelu{.x = inner, .out = saved.activated});
  }
}

Tensor FeedForward::backward_input(Stream& stream, Tensor d_out, Saved& saved) const {
  const Tensor d_activated = down_.backward_input(stream, ranks_.gather(stream, d_out).all);
  saved.d_out = std::move(d_out);
  const View inner = saved.inner;
  saved.d_inner = backend_.allocate(stream, inner.shape(), inner.dtype, Category::activations);
  const View d_inner = saved.d_inner;
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
  return ranks_.sum(stream, up_.backward_input(stream, saved.d_inner));
}

void FeedForward::backward_weight(Stream& stream, Saved saved) const {
  down_.backward_weight(stream, saved.activated, ranks_.gather(stream, saved.d_out).all);
  saved.activated.reset();
  up_.backward_weight(stream, ranks_.gather(stream, saved.x).all, saved.d_inner);
}

}  // namespace trireme::runtime
