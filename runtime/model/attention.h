#pragma once

#include <optional>

#include "kernels/backend.h"
#include "runtime/model/layer_context.h"
#include "runtime/model/linear_pair.h"
#include "runtime/model/norm.h"

namespace trireme::runtime {

// Causal grouped-query self-attention with its projections. q, k and v come from one product.
// Tensor-parallel ranks have a share of the heads each.
class SelfAttention {
 public:
  // What one micro-batch leaves behind between its passes. backward_input frees all but what the
  // weight gradients need.
  struct Saved {
    LinearPair::Saved pair;
    kernels::Tensor qkv, log_sum_exp;
    // With norms of heads only: q and k as they were before, a head a row.
    kernels::Tensor raw_q, raw_k;
    Norm::Saved q_norm, k_norm;
  };

  SelfAttention(const LayerContext& context, const std::string& name);

  kernels::Tensor forward(kernels::Stream& stream, kernels::Tensor x, Saved& saved) const;

  // Frees what can be had again from q, k and v, and from x, which is freed too.
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
  // The columns of a (tokens, q + k + v) matrix that belong to each.
  kernels::View queries(kernels::View qkv) const;
  kernels::View keys(kernels::View qkv) const;
  kernels::View values(kernels::View qkv) const;
  void attend(kernels::Stream& stream, Saved& saved) const;
  LinearPair::Between attention_gradient(kernels::Stream& stream, Saved& saved) const;
  kernels::Tensor heads_of(kernels::Stream& stream, kernels::View columns) const;
  void normalize_heads(kernels::Stream& stream, Saved& saved) const;
  void normalize_heads_backward(kernels::Stream& stream, kernels::View d_qkv, Saved& saved) const;
  void rotate(kernels::Stream& stream, kernels::View qkv, bool inverse) const;

  kernels::Backend& backend_;
  const RopeTable* rope_;
  kernels::AttentionShape shape_;
  double scale_;
  LinearPair pair_;
  std::optional<Norm> q_norm_, k_norm_;
};

}  // namespace trireme::runtime
