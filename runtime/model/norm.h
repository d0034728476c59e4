#pragma once

#include "runtime/model/layer_context.h"

namespace trireme::runtime {

// The norm of a family: RMSNorm (llama) or LayerNorm (gpt2), with the residual added on the way.
class Norm {
 public:
  // Statistics of the rows, kept for the backward pass.
  struct Saved {
    kernels::Tensor mean;   // LayerNorm only
    kernels::Tensor scale;  // 1 / rms, or 1 / standard deviation
  };

  // The sum that was normalized, nothing if it is x itself, and the result.
  struct Result {
    kernels::Tensor sum;
    kernels::Tensor out;
  };

  Norm(const LayerContext& context, const std::string& name);

  // Of x + residual, or of x if `residual` is nothing.
  Result forward(kernels::Stream& stream, kernels::View x, kernels::View residual,
                 Saved& saved) const;

  // Returns the gradient of what was normalized, plus d_residual if that is given. Adds to the
  // gradients of weight and bias right away: there is no product worth putting off.
  kernels::Tensor backward(kernels::Stream& stream, kernels::View normalized, kernels::View d_out,
                           kernels::View d_residual, const Saved& saved) const;

 private:
  kernels::Backend& backend_;
  Weight weight_, bias_;  // no bias: RMSNorm
  double epsilon_;
};

}  // namespace trireme::runtime
