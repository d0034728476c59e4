#include "runtime/model/attention.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace trireme::runtime {

using kernels::Category;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

SelfAttention::SelfAttention(const LayerContext& context, const std::string& name)
    : backend_(context.backend),
      rope_(context.rope),
      shape_{.sequence = context.sequence,
             .heads = context.shape.num_attention_heads / context.ranks.size(),
             .kv_heads = std::max<std::int64_t>(
                 1, context.shape.num_key_value_heads / context.ranks.size()),
             .head_dim = context.shape.head_dim},
      scale_(1 / std::sqrt(static_cast<double>(context.shape.head_dim))),
      pair_(context.ranks,
            Linear(context.backend,
                   context.buffers.joined(
                       {name + ".q_proj.weight", name + ".k_proj.weight", name + ".v_proj.weight"}),
                   context.buffers.joined(
                       {name + ".q_proj.bias", name + ".k_proj.bias", name + ".v_proj.bias"})),
            Linear(context.backend, context.buffers.weight(name + ".o_proj.weight"),
                   context.added_to_sum(name + ".o_proj.bias"))) {
  if (!context.shape.qk_norm) return;
  q_norm_.emplace(context, name + ".q_norm");
  k_norm_.emplace(context, name + ".k_norm");
}

Tensor SelfAttention::forward(Stream& stream, Tensor x, Saved& saved) const {
  saved.qkv = pair_.first(stream, x);
  saved.pair.x = std::move(x);
  if (q_norm_) normalize_heads(stream, saved);
  rotate(stream, saved.qkv, false);
  attend(stream, saved);
  return pair_.second(stream, saved.pair.inner);
}

void SelfAttention::drop(Saved& saved) {
  saved.pair = {};
  saved.log_sum_exp.reset();
}

void SelfAttention::restore(Stream& stream, Tensor x, Saved& saved) const {
  saved.pair.x = std::move(x);
  attend(stream, saved);
}

void SelfAttention::attend(Stream& stream, Saved& saved) const {
  saved.pair.inner = backend_.allocate(stream, {saved.qkv.rows(), shape_.heads * shape_.head_dim},
                                       saved.qkv.view().dtype, Category::activations);
  saved.log_sum_exp = backend_.allocate(
      stream, {saved.qkv.rows() / shape_.sequence * shape_.heads, shape_.sequence},
      kernels::accumulator_of(saved.qkv.view().dtype), Category::activations);
  backend_.run(stream, kernels::Attention{.q = queries(saved.qkv),
                                          .k = keys(saved.qkv),
                                          .v = values(saved.qkv),
                                          .out = saved.pair.inner,
                                          .log_sum_exp = saved.log_sum_exp,
                                          .shape = shape_,
                                          .scale = scale_});
}

LinearPair::Between SelfAttention::attention_gradient(Stream& stream, Saved& saved) const {
  return [this, &stream, &saved](View d_mixed) {
    const View qkv = saved.qkv;
    Tensor d_qkv = backend_.allocate(stream, qkv.shape(), qkv.dtype, Category::activations);
    backend_.run(stream, kernels::AttentionBackward{.q = queries(qkv),
                                                    .k = keys(qkv),
                                                    .v = values(qkv),
                                                    .out = saved.pair.inner,
                                                    .log_sum_exp = saved.log_sum_exp,
                                                    .d_out = d_mixed,
                                                    .d_q = queries(d_qkv),
                                                    .d_k = keys(d_qkv),
                                                    .d_v = values(d_qkv),
                                                    .shape = shape_,
                                                    .scale = scale_});
    rotate(stream, d_qkv, true);
    if (q_norm_) normalize_heads_backward(stream, d_qkv, saved);
    saved.qkv.reset();
    saved.log_sum_exp.reset();
    return d_qkv;
  };
}

Tensor SelfAttention::backward_input(Stream& stream, Tensor d_out, Saved& saved) const {
  return pair_.backward_input(stream, std::move(d_out), saved.pair,
                              attention_gradient(stream, saved));
}

Tensor SelfAttention::backward(Stream& stream, Tensor d_out, Saved& saved) const {
  return pair_.backward(stream, std::move(d_out), saved.pair, attention_gradient(stream, saved));
}

View SelfAttention::queries(View qkv) const {
  return qkv.column_range(0, shape_.heads * shape_.head_dim);
}

View SelfAttention::keys(View qkv) const {
  return qkv.column_range(shape_.heads * shape_.head_dim, shape_.kv_heads * shape_.head_dim);
}

View SelfAttention::values(View qkv) const {
  return qkv.column_range((shape_.heads + shape_.kv_heads) * shape_.head_dim,
                          shape_.kv_heads * shape_.head_dim);
}

// Columns of a matrix of tokens as a matrix of its own with a head a row.
Tensor SelfAttention::heads_of(Stream& stream, View columns) const {
  Tensor heads =
      backend_.allocate(stream, {columns.rows * columns.columns / shape_.head_dim, shape_.head_dim},
                        columns.dtype, Category::activations);
  backend_.run(stream,
               kernels::Convert{.x = columns, .out = heads.view().reshaped(columns.shape())});
  return heads;
}

void SelfAttention::normalize_heads(Stream& stream, Saved& saved) const {
  const auto normalize = [&](const Norm& norm, View columns, Tensor& raw, Norm::Saved& kept) {
    raw = heads_of(stream, columns);
    const Norm::Result result = norm.forward(stream, raw, {}, kept);
    backend_.run(
        stream, kernels::Convert{.x = result.out.view().reshaped(columns.shape()), .out = columns});
  };
  normalize(*q_norm_, queries(saved.qkv), saved.raw_q, saved.q_norm);
  normalize(*k_norm_, keys(saved.qkv), saved.raw_k, saved.k_norm);
}

void SelfAttention::normalize_heads_backward(Stream& stream, View d_qkv, Saved& saved) const {
  const auto back = [&](const Norm& norm, View d_columns, Tensor& raw, Norm::Saved& kept) {
    const Tensor d_heads = heads_of(stream, d_columns);
    const Tensor d_raw = norm.backward(stream, raw, d_heads, {}, kept);
    backend_.run(stream,
                 kernels::Convert{.x = d_raw.view().reshaped(d_columns.shape()), .out = d_columns});
    raw.reset();
    kept = {};
  };
  back(*q_norm_, queries(d_qkv), saved.raw_q, saved.q_norm);
  back(*k_norm_, keys(d_qkv), saved.raw_k, saved.k_norm);
}

void SelfAttention::rotate(Stream& stream, View qkv, bool inverse) const {
  if (!rope_) return;
  // Queries and keys are neighbors: one operation turns both.
  const View both = qkv.column_range(0, (shape_.heads + shape_.kv_heads) * shape_.head_dim);
  backend_.run(stream, kernels::Rope{.x = both,
                                     .cos = rope_->cos(),
                                     .sin = rope_->sin(),
                                     .sequence = shape_.sequence,
                                     .head_dim = shape_.head_dim,
                                     .inverse = inverse});
}

}  // namespace trireme::runtime
