#include "runtime/model/attention.h"

#include <cmath>
#include <utility>

namespace trireme::runtime {

using kernels::Category;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

SelfAttention::SelfAttention(kernels::Backend& backend, const ParameterBuffers& buffers,
                             const std::string& name, const models::Shape& shape,
                             const RopeTable* rope, std::int64_t sequence)
    : backend_(backend),
      rope_(rope),
      shape_{.sequence = sequence,
             .heads = shape.num_attention_heads,
             .kv_heads = shape.num_key_value_heads,
             .head_dim = shape.head_dim},
      scale_(1 / std::sqrt(static_cast<double>(shape.head_dim))),
      qkv_(backend,
           buffers.joined(
               {name + ".q_proj.weight", name + ".k_proj.weight", name + ".v_proj.weight"}),
           buffers.joined({name + ".q_proj.bias", name + ".k_proj.bias", name + ".v_proj.bias"})),
      out_(backend, buffers.weight(name + ".o_proj.weight"), buffers.find(name + ".o_proj.bias")) {}

Tensor SelfAttention::forward(Stream& stream, Tensor x, Saved& saved) const {
  saved.qkv = qkv_.forward(stream, x);
  saved.x = std::move(x);
  rotate(stream, saved.qkv, false);
  saved.mixed = backend_.allocate(stream, {saved.qkv.rows(), shape_.heads * shape_.head_dim},
                                  saved.qkv.view().dtype, Category::activations);
  saved.log_sum_exp =
      backend_.allocate(stream, {saved.qkv.rows(), shape_.heads},
                        kernels::accumulator_of(saved.qkv.view().dtype), Category::activations);
  backend_.run(stream, kernels::Attention{.q = queries(saved.qkv),
                                          .k = keys(saved.qkv),
                                          .v = values(saved.qkv),
                                          .out = saved.mixed,
                                          .log_sum_exp = saved.log_sum_exp,
                                          .shape = shape_,
                                          .scale = scale_});
  return out_.forward(stream, saved.mixed);
}

Tensor SelfAttention::backward_input(Stream& stream, Tensor d_out, Saved& saved) const {
  const Tensor d_mixed = out_.backward_input(stream, d_out);
  saved.d_out = std::move(d_out);
  saved.d_qkv = backend_.allocate(stream, saved.qkv.view().shape(), saved.qkv.view().dtype,
                                  Category::activations);
  backend_.run(stream, kernels::AttentionBackward{.q = queries(saved.qkv),
                                                  .k = keys(saved.qkv),
                                                  .v = values(saved.qkv),
                                                  .out = saved.mixed,
                                                  .log_sum_exp = saved.log_sum_exp,
                                                  .d_out = d_mixed,
                                                  .d_q = queries(saved.d_qkv),
                                                  .d_k = keys(saved.d_qkv),
                                                  .d_v = values(saved.d_qkv),
                                                  .shape = shape_,
                                                  .scale = scale_});
  rotate(stream, saved.d_qkv, true);
  saved.qkv.reset();
  saved.log_sum_exp.reset();
  return qkv_.backward_input(stream, saved.d_qkv);
}

void SelfAttention::backward_weight(Stream& stream, Saved saved) const {
  out_.backward_weight(stream, saved.mixed, saved.d_out);
  qkv_.backward_weight(stream, saved.x, saved.d_qkv);
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
