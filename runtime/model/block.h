#pragma once

#include "runtime/model/attention.h"
#include "runtime/model/feed_forward.h"
#include "runtime/model/norm.h"
#include "runtime/model/recompute.h"

namespace trireme::runtime {

// One transformer layer: attention and feed-forward, each behind a norm and beside a residual.
class Block {
 public:
  // What one micro-batch leaves behind between its passes. The caller owns it, so any number of
  // micro-batches may be in flight and the layer keeps no hidden state.
  struct Saved {
    kernels::Tensor x, middle;  // what the two norms normalized
    Norm::Saved first_norm, second_norm;
    SelfAttention::Saved attention;
    FeedForward::Saved feed_forward;
    Recompute missing = Recompute::none;  // what is to be computed again
  };

  // `recompute`: what it does not keep between forward and backward_input.
  Block(const LayerContext& context, int layer, Recompute recompute = Recompute::none);

  kernels::Tensor forward(kernels::Stream& stream, kernels::Tensor x, Saved& saved) const;

  // Frees everything but the layer's input, whatever the layer keeps otherwise.
  static void drop(Saved& saved);
  // Computes again what is missing. backward_input does it by itself.
  void restore(kernels::Stream& stream, Saved& saved) const;

  // Returns d_x, frees what the weight gradients do not need, and accumulates those of the norms.
  kernels::Tensor backward_input(kernels::Stream& stream, kernels::Tensor d_out,
                                 Saved& saved) const;

  // Accumulates the gradients of the matrices and biases, and frees the rest. May run any time
  // after backward_input, in the same order: a schedule fills idle time with it.
  void backward_weight(kernels::Stream& stream, Saved saved) const;

  // Both at once: communication of one hides behind the other.
  kernels::Tensor backward(kernels::Stream& stream, kernels::Tensor d_out, Saved saved) const;

 private:
  kernels::Backend& backend_;
  Norm first_norm_, second_norm_;
  SelfAttention attention_;
  FeedForward feed_forward_;
  Recompute recompute_;
};

}  // namespace trireme::runtime
