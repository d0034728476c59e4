#pragma once

#include "kernels/backend.h"
#include "runtime/model/parameter_buffers.h"

namespace trireme::runtime {

// y = x weight^T + bias, for x (tokens, inputs) and weight (outputs, inputs). Keeps nothing: what
// the backward passes need is the caller's to keep.
class Linear {
 public:
  // `bias` may be nothing.
  Linear(kernels::Backend& backend, Weight weight, Weight bias);

  std::int64_t inputs() const { return weight_.value.columns; }
  std::int64_t outputs() const { return weight_.value.rows; }

  kernels::Tensor forward(kernels::Stream& stream, kernels::View x) const;
  // Returns d_x. This is all that the layers below wait for.
  kernels::Tensor backward_input(kernels::Stream& stream, kernels::View d_y) const;

  // Into memory of the caller's: y (tokens, outputs) and d_x (tokens, inputs), or rows of them.
  void forward(kernels::Stream& stream, kernels::View x, kernels::View y) const;
  void backward_input(kernels::Stream& stream, kernels::View d_y, kernels::View d_x) const;
  kernels::Tensor room_for_y(kernels::Stream& stream, std::int64_t tokens,
                             kernels::Dtype dtype) const;
  kernels::Tensor room_for_d_x(kernels::Stream& stream, std::int64_t tokens,
                               kernels::Dtype dtype) const;

  // Adds to the gradients of weight and bias. May run any time after backward_input.
  void backward_weight(kernels::Stream& stream, kernels::View x, kernels::View d_y) const;

 private:
  kernels::Backend& backend_;
  Weight weight_, bias_;
};

}  // namespace trireme::runtime
