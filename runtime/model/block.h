#pragma once

#include "runtime/model/attention.h"
#include "runtime/model/feed_forward.h"
#include "runtime/model/norm.h"

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
  };

  Block(const LayerContext& context, int layer);

  kernels::Tensor forward(kernels::Stream& stream, kernels::Tensor x, Saved& saved) const;

  // Returns d_x, frees what the weight gradients do not need, and accumulates those of the norms.
  kernels::Tensor backward_input(kernels::Stream& stream, kernels::Tensor d_out,
                                 Saved& saved) const;

  // Accumulates the gradients of the matrices and biases, and frees the rest. May run any time
  // after backward_input, in the same order: a schedule fills idle time with it.
  void backward_weight(kernels::Stream& stream, Saved saved) const;

 private:
  kernels::Backend& backend_;
  Norm first_norm_, second_norm_;
  SelfAttention attention_;
  FeedForward feed_forward_;
};

}  // namespace trireme::runtime
