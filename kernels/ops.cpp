#include "kernels/ops.h"

#include <initializer_list>

#include "kernels/check.h"

namespace trireme::kernels {
namespace {

double bytes_of(std::initializer_list<View> views) {
  double total = 0;
  for (const View& view : views) total += static_cast<double>(view.bytes());
  return total;
}

double elements(View view) { return static_cast<double>(view.size()); }

bool same_shape(std::initializer_list<View> views) {
  const View& first = *views.begin();
  for (const View& view : views) {
    if (!view.has_shape(first.rows, first.columns)) return false;
  }
  return true;
}

bool same_dtype(std::initializer_list<View> views) {
  for (const View& view : views) {
    if (view && view.dtype != views.begin()->dtype) return false;
  }
  return true;
}

bool is_real(View view) { return view.dtype != Dtype::i32; }

// `view` holds statistics or gradients that belong to activations like `x`.
bool accumulates(View view, View x) { return view.dtype == accumulator_of(x.dtype); }

void expects_norm(View x, View residual, View sum, View weight, View out) {
  expects(is_real(x) && same_dtype({x, residual, sum, weight, out}), "norm: operands of one dtype");
  expects(same_shape({x, out}), "norm: out has the shape of x");
  expects(weight.has_shape(1, x.columns), "norm: weight is (1, channels)");
  expects(static_cast<bool>(residual) == static_cast<bool>(sum), "norm: residual and sum together");
  expects(!residual || same_shape({x, residual, sum}), "norm: residual and sum like x");
}

void expects_norm_backward(View x, View weight, View d_out, View d_residual, View d_x) {
  expects(is_real(x) && same_dtype({x, weight, d_out, d_residual, d_x}),
          "norm backward: operands of one dtype");
  expects(same_shape({x, d_out, d_x}), "norm backward: gradients have the shape of x");
  expects(weight.has_shape(1, x.columns), "norm backward: weight is (1, channels)");
  expects(!d_residual || same_shape({x, d_residual}), "norm backward: d_residual like x");
}

void expects_column(View column, View x) {
  expects(column.has_shape(x.rows, 1) && accumulates(column, x), "statistics are (tokens, 1)");
}

void expects_row_gradient(View gradient, View x) {
  expects(gradient.has_shape(1, x.columns) && accumulates(gradient, x),
          "the gradient of a vector is (1, channels) and an accumulator");
}

void expects_ids(View ids, View x, const char* rule) {
  expects(ids.has_shape(x.rows, 1) && ids.dtype == Dtype::i32 && ids.contiguous(), rule);
}

void expects_attention(View q, View k, View v, View out, View log_sum_exp, AttentionShape shape) {
  expects(shape.sequence > 0 && shape.heads > 0 && shape.kv_heads > 0 && shape.head_dim > 0,
          "attention: positive sizes");
  expects(shape.heads % shape.kv_heads == 0, "attention: kv_heads divides heads");
  expects(q.rows % shape.sequence == 0, "attention: tokens are whole sequences");
  expects(q.columns == shape.heads * shape.head_dim, "attention: q is (tokens, heads * head_dim)");
  expects(k.has_shape(q.rows, shape.kv_heads * shape.head_dim),
          "attention: k is (tokens, kv_heads * head_dim)");
  expects(same_shape({k, v}) && same_shape({q, out}), "attention: v like k, out like q");
  expects(is_real(q) && same_dtype({q, k, v, out}), "attention: operands of one dtype");
  expects(log_sum_exp.has_shape(q.rows / shape.sequence * shape.heads, shape.sequence) &&
              accumulates(log_sum_exp, q),
          "attention: log_sum_exp is (sequences * heads, sequence)");
}

// Pairs of a query and a key it sees, over all heads and sequences.
double causal_pairs(View q, AttentionShape shape) {
  return static_cast<double>(q.rows * shape.heads) * static_cast<double>(shape.sequence + 1) / 2;
}

void expects_cross_entropy(View logits, View targets, std::initializer_list<View> statistics) {
  expects(is_real(logits), "cross-entropy: real logits");
  expects_ids(targets, logits, "cross-entropy: targets are (tokens, 1) of int32");
  for (const View& view : statistics) expects_column(view, logits);
}

}  // namespace

void Fill::validate() const { expects(is_real(out), "fill: a real view"); }
Cost Fill::cost() const { return {.bytes = bytes_of({out})}; }

void Convert::validate() const {
  expects(same_shape({x, out}) && is_real(x) && is_real(out), "convert: out has the shape of x");
}
Cost Convert::cost() const { return {.bytes = bytes_of({x, out})}; }

void Add::validate() const {
  expects(is_real(a) && same_dtype({a, b, out}) && same_shape({a, b, out}),
          "add: operands of one shape and dtype");
}
Cost Add::cost() const { return {.flops = elements(out), .bytes = bytes_of({a, b, out})}; }

void Matmul::validate() const {
  expects(inner() == (transpose_b ? b.columns : b.rows), "matmul: inner dimensions match");
  expects(out.has_shape(transpose_a ? a.columns : a.rows, transpose_b ? b.rows : b.columns),
          "matmul: out is (rows of a, columns of b)");
  expects(is_real(a) && same_dtype({a, b, bias}), "matmul: operands of one dtype");
  expects(out.dtype == a.dtype || accumulates(out, a),
          "matmul: out has the dtype of a, or its sum's");
  expects(!bias || bias.has_shape(1, out.columns), "matmul: bias is (1, columns)");
  expects(!bias || out.dtype == a.dtype, "matmul: a bias is added to an out of its dtype");
}
Cost Matmul::cost() const {
  return {.flops = 2.0 * elements(out) * static_cast<double>(inner()),
          .bytes = bytes_of({a, b, out, bias}) + (accumulate ? bytes_of({out}) : 0)};
}

void ColumnSum::validate() const {
  expects(is_real(x), "column sum: real x");
  expects_row_gradient(out, x);
}
Cost ColumnSum::cost() const { return {.flops = elements(x), .bytes = bytes_of({x, out})}; }

void RmsNorm::validate() const {
  expects_norm(x, residual, sum, weight, out);
  expects_column(inv_rms, x);
}
Cost RmsNorm::cost() const {
  return {.flops = 4.0 * elements(x), .bytes = bytes_of({x, residual, sum, weight, out, inv_rms})};
}

void RmsNormBackward::validate() const {
  expects_norm_backward(x, weight, d_out, d_residual, d_x);
  expects_column(inv_rms, x);
  expects_row_gradient(d_weight, x);
}
Cost RmsNormBackward::cost() const {
  return {.flops = 9.0 * elements(x),
          .bytes = bytes_of({x, weight, inv_rms, d_out, d_residual, d_x, d_weight})};
}

void LayerNorm::validate() const {
  expects_norm(x, residual, sum, weight, out);
  expects(bias.has_shape(1, x.columns) && same_dtype({x, bias}), "norm: bias is (1, channels)");
  expects_column(mean, x);
  expects_column(inv_std, x);
}
Cost LayerNorm::cost() const {
  return {.flops = 7.0 * elements(x),
          .bytes = bytes_of({x, residual, sum, weight, bias, out, mean, inv_std})};
}

void LayerNormBackward::validate() const {
  expects_norm_backward(x, weight, d_out, d_residual, d_x);
  expects_column(mean, x);
  expects_column(inv_std, x);
  expects_row_gradient(d_weight, x);
  expects_row_gradient(d_bias, x);
}
Cost LayerNormBackward::cost() const {
  return {.flops = 12.0 * elements(x),
          .bytes = bytes_of({x, weight, mean, inv_std, d_out, d_residual, d_x, d_weight, d_bias})};
}

void Rope::validate() const {
  expects(is_real(x) && head_dim > 0 && head_dim % 2 == 0, "rope: an even head_dim");
  expects(x.columns % head_dim == 0, "rope: x is (tokens, heads * head_dim)");
  expects(sequence > 0 && x.rows % sequence == 0, "rope: tokens are whole sequences");
  expects(same_shape({cos, sin}) && cos.columns == head_dim / 2 && cos.rows >= sequence,
          "rope: tables are (positions, head_dim / 2)");
  expects(accumulates(cos, x) && accumulates(sin, x), "rope: tables in the accumulator dtype");
}
Cost Rope::cost() const { return {.flops = 3.0 * elements(x), .bytes = 2.0 * bytes_of({x})}; }

void Attention::validate() const { expects_attention(q, k, v, out, log_sum_exp, shape); }
Cost Attention::cost() const {
  return {.flops = 4.0 * causal_pairs(q, shape) * static_cast<double>(shape.head_dim),
          .bytes = bytes_of({q, k, v, out, log_sum_exp})};
}

void AttentionBackward::validate() const {
  expects_attention(q, k, v, out, log_sum_exp, shape);
  expects(same_shape({q, d_out, d_q}) && same_shape({k, d_k, d_v}),
          "attention backward: gradients have the shapes of their operands");
  expects(same_dtype({q, d_out, d_q, d_k, d_v}), "attention backward: operands of one dtype");
}
Cost AttentionBackward::cost() const {
  return {.flops = 10.0 * causal_pairs(q, shape) * static_cast<double>(shape.head_dim),
          .bytes = bytes_of({q, k, v, out, log_sum_exp, d_out, d_q, d_k, d_v})};
}

Attention forward_of(const AttentionBackward& op) {
  return {.q = op.q,
          .k = op.k,
          .v = op.v,
          .out = op.out,
          .log_sum_exp = op.log_sum_exp,
          .shape = op.shape,
          .scale = op.scale};
}

void SwiGlu::validate() const {
  expects(is_real(gate) && same_dtype({gate, up, out}) && same_shape({gate, up, out}),
          "swiglu: operands of one shape and dtype");
}
Cost SwiGlu::cost() const {
  return {.flops = 6.0 * elements(out), .bytes = bytes_of({gate, up, out})};
}

void SwiGluBackward::validate() const {
  expects(is_real(gate) && same_dtype({gate, up, d_out, d_gate, d_up}) &&
              same_shape({gate, up, d_out, d_gate, d_up}),
          "swiglu backward: operands of one shape and dtype");
}
Cost SwiGluBackward::cost() const {
  return {.flops = 12.0 * elements(gate), .bytes = bytes_of({gate, up, d_out, d_gate, d_up})};
}

void Gelu::validate() const {
  expects(is_real(x) && same_dtype({x, out}) && same_shape({x, out}), "gelu: out is like x");
}
Cost Gelu::cost() const { return {.flops = 8.0 * elements(x), .bytes = bytes_of({x, out})}; }

void GeluBackward::validate() const {
  expects(is_real(x) && same_dtype({x, d_out, d_x}) && same_shape({x, d_out, d_x}),
          "gelu backward: gradients are like x");
}
Cost GeluBackward::cost() const {
  return {.flops = 16.0 * elements(x), .bytes = bytes_of({x, d_out, d_x})};
}

void Embedding::validate() const {
  expects_ids(ids, out, "embedding: ids are (tokens, 1) of int32");
  expects(is_real(out) && same_dtype({table, positions, out}), "embedding: operands of one dtype");
  expects(table.columns == out.columns, "embedding: table is (vocabulary, channels)");
  expects(!positions || (positions.columns == out.columns && sequence > 0 &&
                         positions.rows >= sequence && out.rows % sequence == 0),
          "embedding: positions is (at least sequence, channels), tokens are whole sequences");
}
Cost Embedding::cost() const { return {.bytes = 2.0 * bytes_of({out}) + bytes_of({ids})}; }

void EmbeddingBackward::validate() const {
  expects_ids(ids, d_out, "embedding backward: ids are (tokens, 1) of int32");
  expects(is_real(d_out) && accumulates(d_table, d_out) && d_table.columns == d_out.columns,
          "embedding backward: d_table is (vocabulary, channels), an accumulator");
  expects(!d_positions || (accumulates(d_positions, d_out) && sequence > 0 &&
                           d_positions.columns == d_out.columns && d_positions.rows >= sequence &&
                           d_out.rows % sequence == 0),
          "embedding backward: d_positions is (at least sequence, channels), an accumulator");
}
Cost EmbeddingBackward::cost() const {
  return {.flops = elements(d_out), .bytes = 3.0 * bytes_of({d_out})};
}

void CrossEntropyStatistics::validate() const {
  expects_cross_entropy(logits, targets, {maximum, sum_exp, target_logit});
}
Cost CrossEntropyStatistics::cost() const {
  return {.flops = 4.0 * elements(logits), .bytes = bytes_of({logits, targets})};
}

void MergeStatistics::validate() const {
  const std::int64_t tokens = maximum.rows;
  expects(parts.rows >= 1 && parts.has_shape(parts.rows, 3 * tokens) && parts.contiguous(),
          "merging statistics: parts are (ranks, 3 * tokens)");
  expects(same_shape({maximum, sum_exp, target_logit}) && maximum.columns == 1,
          "merging statistics: results are (tokens, 1)");
  expects(same_dtype({parts, maximum, sum_exp, target_logit}) &&
              (parts.dtype == Dtype::f32 || parts.dtype == Dtype::f64),
          "merging statistics: fp32 or fp64");
}
Cost MergeStatistics::cost() const {
  return {.flops = 2.0 * elements(parts), .bytes = bytes_of({parts})};
}

void CrossEntropy::validate() const {
  expects_cross_entropy(logits, targets, {maximum, sum_exp, target_logit});
  expects(loss.has_shape(1, 1) && loss.dtype == Dtype::f64, "cross-entropy: loss is one fp64");
}
Cost CrossEntropy::cost() const {
  return {.flops = 4.0 * elements(logits), .bytes = 2.0 * bytes_of({logits})};
}

void SquaredNorm::validate() const {
  expects(is_real(x) && out.has_shape(1, 1) && out.dtype == Dtype::f64, "norm: out is one fp64");
}
Cost SquaredNorm::cost() const { return {.flops = 2.0 * elements(x), .bytes = bytes_of({x})}; }

void AdamW::validate() const {
  expects(same_shape({master, first_moment, second_moment, gradient}) && master.rows == 1,
          "adamw: flat operands of one length");
  expects(same_dtype({master, first_moment, second_moment, gradient}) &&
              (master.dtype == Dtype::f32 || master.dtype == Dtype::f64),
          "adamw: state in fp32 or fp64");
  expects(!parameter || same_shape({master, parameter}), "adamw: parameter like master");
  expects(step >= 1, "adamw: steps count from 1");
}
Cost AdamW::cost() const {
  return {.flops = 14.0 * elements(master),
          .bytes = 2.0 * bytes_of({master, first_moment, second_moment}) + bytes_of({gradient}) +
                   bytes_of({parameter})};
}

}  // namespace trireme::kernels
