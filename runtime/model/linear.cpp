#include "runtime/model/linear.h"

namespace trireme::runtime {

using kernels::Category;
using kernels::Matmul;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

Linear::Linear(kernels::Backend& backend, Weight weight, Weight bias)
    : backend_(backend), weight_(weight), bias_(bias) {}

Tensor Linear::room_for_y(Stream& stream, std::int64_t tokens, kernels::Dtype dtype) const {
  return backend_.allocate(stream, {tokens, outputs()}, dtype, Category::activations);
}

Tensor Linear::room_for_d_x(Stream& stream, std::int64_t tokens, kernels::Dtype dtype) const {
  return backend_.allocate(stream, {tokens, inputs()}, dtype, Category::activations);
}

Tensor Linear::forward(Stream& stream, View x) const {
  Tensor y = room_for_y(stream, x.rows, x.dtype);
  forward(stream, x, y);
  return y;
}

void Linear::forward(Stream& stream, View x, View y) const {
  backend_.run(
      stream,
      Matmul{.a = x, .b = weight_.value, .out = y, .bias = bias_.value, .transpose_b = true});
}

Tensor Linear::backward_input(Stream& stream, View d_y) const {
  Tensor d_x = room_for_d_x(stream, d_y.rows, d_y.dtype);
  backward_input(stream, d_y, d_x);
  return d_x;
}

void Linear::backward_input(Stream& stream, View d_y, View d_x) const {
  backend_.run(stream, Matmul{.a = d_y, .b = weight_.value, .out = d_x});
}

void Linear::backward_weight(Stream& stream, View x, View d_y) const {
  backend_.run(
      stream,
      Matmul{.a = d_y, .b = x, .out = weight_.gradient, .transpose_a = true, .accumulate = true});
  if (bias_) backend_.run(stream, kernels::ColumnSum{.x = d_y, .out = bias_.gradient});
}

}  // namespace trireme::runtime
