#include "kernels/cuda/cudnn_attention.h"

#include <initializer_list>
#include <limits>

#include "kernels/cuda/alignment.h"

namespace trireme::kernels {
namespace {

using Graph = CudnnGraph;
using Operand = CudnnGraph::Operand;
using Sizes = CudnnGraph::Sizes;

// What memory is bound to.
constexpr std::int64_t kQ = 1, kK = 2, kV = 3, kOut = 4, kStatistics = 5, kDOut = 6, kDQ = 7,
                       kDK = 8, kDV = 9, kOutDot = 10, kSums = 11;

constexpr std::size_t kAlignment = 256;  // of what shares a workspace

// Sizes are (sequences, heads, positions, columns).
class Builder {
 public:
  template <class Op>
  Builder(const CudnnLibrary& library, const Op& op)
      : graph_(library),
        nothing_(library.version < 91000 ? std::numeric_limits<float>::lowest()
                                         : -std::numeric_limits<float>::infinity()),
        type_(op.q.dtype == Dtype::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF),
        shape_(op.shape),
        sequences_(op.q.rows / op.shape.sequence),
        scores_{sequences_, shape_.heads, shape_.sequence, shape_.sequence},
        rows_{sequences_, shape_.heads, shape_.sequence, 1},
        heads_{sequences_, shape_.heads, shape_.sequence, shape_.head_dim} {
    scale_ = graph_.number(static_cast<float>(op.scale));
  }

  Graph take() { return std::move(graph_); }
  Graph& graph() { return graph_; }

  Operand heads_of(std::int64_t id, const View& view, std::int64_t heads) {
    return graph_.outside(id, type_, {sequences_, heads, shape_.sequence, shape_.head_dim},
                          {shape_.sequence * view.stride, shape_.head_dim, view.stride, 1});
  }
  // The same memory, positions and columns exchanged.
  Operand turned_heads_of(std::int64_t id, const View& view, std::int64_t heads) {
    return graph_.outside(id, type_, {sequences_, heads, shape_.head_dim, shape_.sequence},
                          {shape_.sequence * view.stride, shape_.head_dim, 1, view.stride});
  }
  Operand turned_back(Operand turned, const View& view, std::int64_t heads) {
    const Operand out =
        graph_.between(CUDNN_DATA_FLOAT, {sequences_, heads, shape_.sequence, shape_.head_dim},
                       {shape_.sequence * view.stride, shape_.head_dim, view.stride, 1});
    graph_.view_as(turned, out);
    return out;
  }
  Operand rows(std::int64_t id) {
    return graph_.outside(id, CUDNN_DATA_FLOAT, rows_, packed(rows_));
  }
  Operand full_heads(std::int64_t id) {
    return graph_.outside(id, CUDNN_DATA_FLOAT, heads_, packed(heads_));
  }

  Operand scores(cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    return graph_.between(type, scores_, packed(scores_));
  }
  Operand turned_scores(Operand scores) {
    const Sizes strides = packed(scores_);
    const Operand out =
        graph_.between(type_, scores_, {strides[0], strides[1], strides[3], strides[2]});
    graph_.view_as(scores, out);
    return out;
  }

  Operand apply(cudnnPointwiseMode_t mode, std::initializer_list<Operand> given, Operand out) {
    graph_.apply(mode, {given.begin(), given.size()}, out);
    return out;
  }
  Operand scaled(Operand x) { return apply(CUDNN_POINTWISE_MUL, {x, scale_}, scores()); }
  Operand product(Operand a, Operand b) {
    const Operand out = scores();
    graph_.multiply(a, b, out);
    return out;
  }

  // Nothing is left of a score whose key comes after its query.
  Operand causal(Operand scores_given) {
    const Operand nothing = graph_.number(nothing_);
    const Operand query = scores(CUDNN_DATA_INT32), key = scores(CUDNN_DATA_INT32);
    const Operand is_seen = scores(CUDNN_DATA_BOOLEAN);
    graph_.index_along(2, scores_given, query);
    graph_.index_along(3, scores_given, key);
    const Operand both[] = {query, key};
    graph_.apply(CUDNN_POINTWISE_CMP_GE, both, is_seen, CUDNN_DATA_BOOLEAN);
    return apply(CUDNN_POINTWISE_BINARY_SELECT, {scores_given, nothing, is_seen}, scores());
  }

  Operand per_row() { return graph_.between(CUDNN_DATA_FLOAT, rows_, packed(rows_)); }
  Operand reduced(cudnnReduceTensorOp_t with, Operand x) {
    const Operand out = per_row();
    graph_.reduce(with, x, out);
    return out;
  }

  // To the key heads: the sum over the query heads that read one.
  void multiply_into(Operand a, Operand b, Operand out) {
    if (shape_.kv_heads == shape_.heads) return graph_.multiply(a, b, out);
    const Operand of_every_head = graph_.between(type_, heads_, packed(heads_));
    graph_.multiply(a, b, of_every_head);
    graph_.reduce(CUDNN_REDUCE_TENSOR_ADD, of_every_head, out);
  }

  // out . d_out of every row, kept in memory.
  Operand out_dot(Operand out, Operand d_out) {
    const Operand products = apply(CUDNN_POINTWISE_MUL, {d_out, out},
                                   graph_.between(CUDNN_DATA_FLOAT, heads_, packed(heads_)));
    return apply(CUDNN_POINTWISE_MUL,
                 {reduced(CUDNN_REDUCE_TENSOR_ADD, products), graph_.number(1)}, rows(kOutDot));
  }

  cudnnDataType_t type() const { return type_; }

 private:
  static Sizes packed(const Sizes& sizes) {
    return {sizes[1] * sizes[2] * sizes[3], sizes[2] * sizes[3], sizes[3], 1};
  }

  Graph graph_;
  float nothing_;  // as each version wants a masked score
  cudnnDataType_t type_;
  AttentionShape shape_;
  std::int64_t sequences_;
  Sizes scores_, rows_, heads_;
  Operand scale_ = 0;
};

// Older versions go beyond the end of a sequence that does not fill a kernel's tiles.
bool fits_tiles(const CudnnLibrary& library, std::int64_t sequence) {
  constexpr std::size_t kAnyLength = 91501;
  return sequence > 1 && (sequence % 128 == 0 || library.version >= kAnyLength);
}

template <class Op>
bool is_suited(const CudnnLibrary& library, const Op& op, std::initializer_list<View> operands) {
  bool suited = (op.q.dtype == Dtype::bf16 || op.q.dtype == Dtype::f16) &&
                op.shape.head_dim % 8 == 0 && fits_tiles(library, op.shape.sequence) &&
                op.log_sum_exp.contiguous() &&
                reinterpret_cast<std::uintptr_t>(op.log_sum_exp.data) % 16 == 0;
  for (const View& operand : operands) suited = suited && is_aligned(operand);
  return suited;
}

std::size_t round_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// What the gradient keeps in memory beside cuDNN's own workspace.
std::size_t out_dot_bytes(const AttentionBackward& op) {
  return round_up(static_cast<std::size_t>(op.q.rows * op.shape.heads) * sizeof(float));
}
std::size_t sums_bytes(const AttentionBackward& op) {
  return round_up(static_cast<std::size_t>(op.q.size()) * sizeof(float));
}

}  // namespace

bool is_for(const CudnnLibrary& library, const Attention& op) {
  return is_suited(library, op, {op.q, op.k, op.v, op.out});
}

bool is_for(const CudnnLibrary& library, const AttentionBackward& op) {
  return is_suited(library, op, {op.q, op.k, op.v, op.out, op.d_out, op.d_q, op.d_k, op.d_v});
}

CudnnGraph graph_of(const CudnnLibrary& library, const Attention& op) {
  Builder b(library, op);
  const Operand q = b.heads_of(kQ, op.q, op.shape.heads);
  const Operand k_turned = b.turned_heads_of(kK, op.k, op.shape.kv_heads);
  const Operand v = b.heads_of(kV, op.v, op.shape.kv_heads);
  const Operand out = b.heads_of(kOut, op.out, op.shape.heads), log_sum_exp = b.rows(kStatistics);
  const Operand scores = b.causal(b.scaled(b.product(q, k_turned)));
  const Operand highest = b.reduced(CUDNN_REDUCE_TENSOR_MAX, scores);
  const Operand lowered = b.apply(CUDNN_POINTWISE_SUB, {scores, highest}, b.scores());
  const Operand powers = b.apply(CUDNN_POINTWISE_EXP, {lowered}, b.scores());
  const Operand sum = b.reduced(CUDNN_REDUCE_TENSOR_ADD, powers);
  const Operand log_sum = b.apply(CUDNN_POINTWISE_LOG, {sum}, b.per_row());
  b.apply(CUDNN_POINTWISE_ADD, {highest, log_sum}, log_sum_exp);
  const Operand weights = b.apply(CUDNN_POINTWISE_DIV, {powers, sum}, b.scores(b.type()));
  b.graph().multiply(weights, v, out);
  return b.take();
}

CudnnGraph graph_of(const CudnnLibrary& library, const AttentionBackward& op) {
  Builder b(library, op);
  const std::int64_t heads = op.shape.heads, kv_heads = op.shape.kv_heads;
  const Operand q = b.heads_of(kQ, op.q, heads), out = b.heads_of(kOut, op.out, heads);
  const Operand k_turned = b.turned_heads_of(kK, op.k, kv_heads);
  const Operand v_turned = b.turned_heads_of(kV, op.v, kv_heads);
  const Operand d_out = b.heads_of(kDOut, op.d_out, heads), log_sum_exp = b.rows(kStatistics);
  const Operand d_q = b.heads_of(kDQ, op.d_q, heads), d_k = b.heads_of(kDK, op.d_k, kv_heads);
  const Operand d_v = b.heads_of(kDV, op.d_v, kv_heads), d_q_sums = b.full_heads(kSums);
  const Operand out_dot = b.out_dot(out, d_out);
  const Operand scores = b.scaled(b.product(q, k_turned));
  const Operand logs = b.apply(CUDNN_POINTWISE_SUB, {scores, log_sum_exp}, b.scores());
  const Operand weights = b.apply(CUDNN_POINTWISE_EXP, {b.causal(logs)}, b.scores());
  b.multiply_into(b.turned_scores(weights), d_out, d_v);
  const Operand d_weights = b.product(d_out, v_turned);
  const Operand beyond = b.apply(CUDNN_POINTWISE_SUB, {d_weights, out_dot}, b.scores());
  const Operand d_scores = b.scaled(b.apply(CUDNN_POINTWISE_MUL, {beyond, weights}, b.scores()));
  b.multiply_into(b.turned_scores(d_scores), q, d_k);
  b.graph().multiply(d_scores, b.turned_back(k_turned, op.k, kv_heads), d_q_sums);
  b.apply(CUDNN_POINTWISE_IDENTITY, {d_q_sums}, d_q);
  return b.take();
}

std::size_t workspace_bytes(const CudnnPlan& plan, const Attention&) {
  return plan.workspace_bytes();
}

std::size_t workspace_bytes(const CudnnPlan& plan, const AttentionBackward& op) {
  return out_dot_bytes(op) + sums_bytes(op) + plan.workspace_bytes();
}

void launch(const CudnnPlan& plan, cudnnHandle_t handle, const Attention& op, View workspace) {
  const CudnnPlan::Binding bindings[] = {{kQ, op.q.data},
                                         {kK, op.k.data},
                                         {kV, op.v.data},
                                         {kOut, op.out.data},
                                         {kStatistics, op.log_sum_exp.data}};
  plan.execute(handle, bindings, workspace.data);
}

void launch(const CudnnPlan& plan, cudnnHandle_t handle, const AttentionBackward& op,
            View workspace) {
  auto* const out_dot = static_cast<std::byte*>(workspace.data);
  std::byte* const sums = out_dot + out_dot_bytes(op);
  const CudnnPlan::Binding bindings[] = {{kQ, op.q.data},
                                         {kK, op.k.data},
                                         {kV, op.v.data},
                                         {kOut, op.out.data},
                                         {kStatistics, op.log_sum_exp.data},
                                         {kDOut, op.d_out.data},
                                         {kDQ, op.d_q.data},
                                         {kDK, op.d_k.data},
                                         {kDV, op.d_v.data},
                                         {kOutDot, out_dot},
                                         {kSums, sums}};
  plan.execute(handle, bindings, sums + sums_bytes(op));
}

}  // namespace trireme::kernels
