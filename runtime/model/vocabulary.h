#pragma once

#include "kernels/backend.h"
#include "runtime/model/layer_context.h"
#include "runtime/model/linear.h"
#include "runtime/model/norm.h"

namespace trireme::runtime {

// Tokens in, vectors out: the first unit of a model. Tensor-parallel ranks have a share of the
// vocabulary each.
class TokenEmbedding {
 public:
  explicit TokenEmbedding(const LayerContext& context);

  // tokens is (tokens, 1) of int32: all of them. Returns the vectors of this rank's tokens.
  kernels::Tensor forward(kernels::Stream& stream, kernels::View tokens) const;

  // There is no input gradient: nothing is below.
  void backward_weight(kernels::Stream& stream, kernels::View tokens, kernels::View d_out) const;

 private:
  kernels::Backend& backend_;
  TensorParallel& ranks_;
  Weight table_, positions_;  // positions are nothing when they are rotary
  std::int64_t sequence_, first_id_;
};

// What a micro-batch's loss is measured against and added to.
struct Target {
  kernels::View tokens;       // (tokens, 1) of int32; negative means: not a target
  kernels::View loss;         // (1, 1) of f64, the sum of the negative log-likelihoods
  double gradient_scale = 1;  // loss scale over the number of targets of the whole step
};

// Vectors in, loss out: the last unit of a model, the final norm, the output projection and the
// cross-entropy. Tied embeddings share the embedding's table. Tensor-parallel ranks have a share of
// the vocabulary each, and all find the same loss.
class Head {
 public:
  // What one micro-batch leaves behind. d_logits, in padded rows, is known as soon as the loss is.
  struct Saved {
    kernels::Tensor x, normalized, d_logits;
    Norm::Saved norm;
  };

  explicit Head(const LayerContext& context);

  void forward(kernels::Stream& stream, kernels::Tensor x, const Target& target,
               Saved& saved) const;
  kernels::Tensor backward_input(kernels::Stream& stream, Saved& saved) const;
  void backward_weight(kernels::Stream& stream, Saved saved) const;
  // Both at once: communication of one hides behind the other.
  kernels::Tensor backward(kernels::Stream& stream, Saved saved) const;

  // (tokens, this rank's share of the vocabulary); nothing saved.
  kernels::Tensor logits(kernels::Stream& stream, kernels::View x) const;

  // The loss alone.
  void evaluate(kernels::Stream& stream, kernels::Tensor x, const Target& target) const;

 private:
  // Logits of this rank's tokens, and of all others, in rows that begin where a device reads best;
  // and these without what pads them.
  kernels::Tensor project(kernels::Stream& stream, kernels::View normalized) const;
  kernels::View logits_in(kernels::View padded) const;
  void cross_entropy(kernels::Stream& stream, kernels::View logits, const Target& target,
                     bool with_gradient) const;

  kernels::Backend& backend_;
  TensorParallel& ranks_;
  Norm norm_;
  Linear projection_;
  std::int64_t first_id_;
};

}  // namespace trireme::runtime
