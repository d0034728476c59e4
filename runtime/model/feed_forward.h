#pragma once

#include "kernels/backend.h"
#include "runtime/model/layer_context.h"
#include "runtime/model/linear_pair.h"

namespace trireme::runtime {

// The half of a layer that looks at one token at a time: SwiGLU (llama), whose gate and up
// projections are one product, or GELU (gpt2). Tensor-parallel ranks have a share of the inner
// channels each.
class FeedForward {
 public:
  // What one micro-batch leaves behind between its passes. backward_input frees `inner`.
  struct Saved {
    LinearPair::Saved pair;
    kernels::Tensor inner;  // what the first product made
  };

  FeedForward(const LayerContext& context, const std::string& name);

  kernels::Tensor forward(kernels::Stream& stream, kernels::Tensor x, Saved& saved) const;

  // The first product and the activation function, which is all that the backward pass needs.
  void begin(kernels::Stream& stream, kernels::Tensor x, Saved& saved) const;

  // Frees what can be had again from the first product's result, and from x, which is freed too.
  static void drop(Saved& saved);
  // Has it again. `x` is what forward was given.
  void restore(kernels::Stream& stream, kernels::Tensor x, Saved& saved) const;

  kernels::Tensor backward_input(kernels::Stream& stream, kernels::Tensor d_out,
                                 Saved& saved) const;
  // Input and weights at once: leaves only pair.d_out.
  kernels::Tensor backward(kernels::Stream& stream, kernels::Tensor d_out, Saved& saved) const;

  // Its weight gradients need backward_input and nothing else.
  const LinearPair& pair() const { return pair_; }

 private:
  void activate(kernels::Stream& stream, Saved& saved) const;
  LinearPair::Between activation_gradient(kernels::Stream& stream, Saved& saved) const;

  kernels::Backend& backend_;
  bool gated_;
  LinearPair pair_;
  std::int64_t width_;  // inner channels of this rank
};

}  // namespace trireme::runtime
