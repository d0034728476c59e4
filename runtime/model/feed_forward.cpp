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

FeedForward::FeedForward(kernels::Backend& backend, const ParameterBuffers& buffers,
                         const std::string& name, const models::Shape& shape)
    : backend_(backend),
      gated_(shape.family == models::Family::llama),
      width_(shape.intermediate_size),
      up_(backend, up_weight(buffers, name, gated_), buffers.find(name + ".up_proj.bias")),
      down_(backend, buffers.weight(name + ".down_proj.weight"),
            buffers.find(name + ".down_proj.bias")) {}

Tensor FeedForward::forward(Stream& stream, Tensor x, Saved& saved) const {
  saved.inner = up_.forward(stream, x);
  saved.x = std::move(x);
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
  return down_.forward(stream, saved.activated);
}

Tensor FeedForward::backward_input(Stream& stream, Tensor d_out, Saved& saved) const {
  const Tensor d_activated = down_.backward_input(stream, d_out);
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
  return up_.backward_input(stream, saved.d_inner);
}

void FeedForward::backward_weight(Stream& stream, Saved saved) const {
  down_.backward_weight(stream, saved.activated, saved.d_out);
  up_.backward_weight(stream, saved.x, saved.d_inner);
}

}  // namespace trireme::runtime
