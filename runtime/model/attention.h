#pragma once

#include "kernels/backend.h"
#include "models/shape.h"
#include "runtime/model/linear.h"
#include "runtime/model/rope_table.h"

namespace trireme::runtime {

// Causal grouped-query self-attention with its projections. q, k and v come from one product.
class SelfAttention {
 public:
  // What one micro-batch leaves behind between its passes. backward_input frees all but the inputs
  // and output gradients of the two weight products.
  struct Saved {
    kernels::Tensor x, qkv, log_sum_exp, mixed;
    kernels::Tensor d_qkv, d_out;
  };

  // `rope` is nothing for learned positions.
  SelfAttention(kernels::Backend& backend, const ParameterBuffers& buffers, const std::string& name,
                const models::Shape& shape, const RopeTable* rope, std::int64_t sequence);

  kernels::Tensor forward(kernels::Stream& stream, kernels::Tensor x, Saved& saved) const;
  kernels::Tensor backward_input(kernels::Stream& stream, kernels::Tensor d_out,
                                 Saved& saved) const;
  void backward_weight(kernels::Stream& stream, Saved saved) const;

 private:
  // The columns of a (tokens, q + k + v) matrix that belong to each.
  kernels::View queries(kernels::View qkv) const;
  kernels::View keys(kernels::View qkv) const;
  kernels::View values(kernels::View qkv) const;
  void rotate(kernels::Stream& stream, kernels::View qkv, bool inverse) const;

  kernels::Backend& backend_;
  const RopeTable* rope_;
  kernels::AttentionShape shape_;
  double scale_;
  Linear qkv_, out_;
};

}  // namespace trireme::runtime
