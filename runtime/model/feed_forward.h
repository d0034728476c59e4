#pragma once

#include "kernels/backend.h"
#include "models/shape.h"
#include "runtime/model/linear.h"

namespace trireme::runtime {

// The half of a layer that looks at one token at a time: SwiGLU (llama), whose gate and up
// projections are one product, or GELU (gpt2).
class FeedForward {
 public:
  // What one micro-batch leaves behind between its passes. backward_input frees all but the inputs
  // and output gradients of the two weight products.
  struct Saved {
    kernels::Tensor x, inner, activated;
    kernels::Tensor d_inner, d_out;
  };

  FeedForward(kernels::Backend& backend, const ParameterBuffers& buffers, const std::string& name,
              const models::Shape& shape);

  kernels::Tensor forward(kernels::Stream& stream, kernels::Tensor x, Saved& saved) const;
  kernels::Tensor backward_input(kernels::Stream& stream, kernels::Tensor d_out,
                                 Saved& saved) const;
  void backward_weight(kernels::Stream& stream, Saved saved) const;

 private:
  kernels::Backend& backend_;
  bool gated_;
  std::int64_t width_;
  Linear up_, down_;
};

}  // namespace trireme::runtime
