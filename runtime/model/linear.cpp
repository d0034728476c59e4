#include "runtime/model/linear.h"

namespace trireme::runtime {

using kernels::Category;
using kernels::Matmul;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

Linear::Linear(kernels::Backend& backend, Weight weight, Weight bias)
    : backend_(backend), weight_(weight), bias_(bias) {}

Tensor Linear::forward(Stream& stream, View x) const {
  Tensor y = backend_.allocate(stream, {x.rows, outputs()}, x.dtype, Category::activations);
  forward(stream, x, y);
  return y;
}

void Linear::forward(Stream& stream, View x, View y) const {
  backend_.run(
      stream,
      Matmul{.a = x, .b = weight_.value, .out = y, .bias = bias_.value, .transpose_b = true});
}

Tensor Linear::backward_input(Stream& stream, View d_y) const {
  Tensor d_x = backend_.allocate(stream, {d_y.rows, weight_.value.columns}, d_y.dtype,
                                 Category::activations);
  backend_.run(stream, Matmul{.a = d_y, .b = weight_.value, .out = d_x});
  return d_x;
}

void Linear::backward_weight(Stream& stream, View x, View d_y) const {
  backend_.run(
      stream,
      Matmul{.a = d_y, .b = x, .out = weight_.gradient, .transpose_a = true, .accumulate = true});
  if (bias_) backend_.run(stream, kernels::ColumnSum{.x = d_y, .out = bias_.gradient});
}

}  // namespace trireme::runtime
