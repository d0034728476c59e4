#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/queue.h"

namespace trireme::kernels {
namespace {

constexpr int kWarp = 32;
constexpr int kWarps = kThreads / kWarp;
constexpr int kPerLane = 8;  // head sizes up to 256

// A head's row spread over a warp: lane l holds channels l, l + 32, ...
struct Lanes {
  float values[kPerLane];

  template <class T>
  __device__ static Lanes read(const T* row, int head_dim) {
    Lanes lanes;
    for (int i = 0; i < kPerLane; ++i) {
      const int c = static_cast<int>(threadIdx.x) % kWarp + i * kWarp;
      lanes.values[i] = c < head_dim ? load(row[c]) : 0.0f;
    }
    return lanes;
  }
  template <class T>
  __device__ void write(T* row, int head_dim) const {
    for (int i = 0; i < kPerLane; ++i) {
      const int c = static_cast<int>(threadIdx.x) % kWarp + i * kWarp;
      if (c < head_dim) store(row[c], values[i]);
    }
  }
  __device__ float dot(const Lanes& other) const {
    float sum = 0;
    for (int i = 0; i < kPerLane; ++i) sum += values[i] * other.values[i];
    return warp_sum(sum);
  }
  __device__ void add(float factor, const Lanes& other) {
    for (int i = 0; i < kPerLane; ++i) values[i] += factor * other.values[i];
  }
  __device__ void scale(float factor) {
    for (int i = 0; i < kPerLane; ++i) values[i] *= factor;
  }
};

template <class T>
struct Heads {
  Rows<T> q, k, v, out;
  Rows<float> log_sum_exp;  // (sequences * heads, sequence), like out_dot
  std::int64_t tokens;
  int sequence, heads, kv_heads, head_dim;
  float scale;
  Rows<T> d_out = {}, d_q = {}, d_k = {}, d_v = {};  // for the gradient
  Rows<float> out_dot = {};                          // for the gradient

  __device__ int column(int head) const { return head * head_dim; }
  // Of a query, in statistics.
  __device__ float& at(Rows<float> statistics, std::int64_t t, int head) const {
    return statistics[t / sequence * heads + head][t % sequence];
  }
  __device__ int kv_column(int head) const { return head / (heads / kv_heads) * head_dim; }
};

__device__ std::int64_t warp_index() {
  return blockIdx.x * static_cast<std::int64_t>(kWarps) + threadIdx.x / kWarp;
}

// One warp per query and head: a running softmax over the keys it sees.
template <class T>
__global__ void attend(Heads<T> a) {
  const std::int64_t task = warp_index();
  if (task >= a.tokens * a.heads) return;
  const std::int64_t t = task / a.heads, first = t / a.sequence * a.sequence;
  const int head = static_cast<int>(task % a.heads);
  const Lanes q = Lanes::read(a.q[t] + a.column(head), a.head_dim);
  Lanes out = {};
  float maximum = -INFINITY, sum = 0;
  for (std::int64_t j = first; j <= t; ++j) {
    const float score = a.scale * q.dot(Lanes::read(a.k[j] + a.kv_column(head), a.head_dim));
    const float highest = fmaxf(maximum, score);
    const float fade = expf(maximum - highest), weight = expf(score - highest);
    out.scale(fade);
    out.add(weight, Lanes::read(a.v[j] + a.kv_column(head), a.head_dim));
    sum = sum * fade + weight;
    maximum = highest;
  }
  out.scale(1.0f / sum);
  out.write(a.out[t] + a.column(head), a.head_dim);
  if (threadIdx.x % kWarp == 0) a.at(a.log_sum_exp, t, head) = maximum + logf(sum);
}

// One warp per query and head: out . d_out.
template <class T>
__global__ void multiply_out(Heads<T> a) {
  const std::int64_t task = warp_index();
  if (task >= a.tokens * a.heads) return;
  const std::int64_t t = task / a.heads;
  const int head = static_cast<int>(task % a.heads), column = a.column(head);
  const Lanes d_out = Lanes::read(a.d_out[t] + column, a.head_dim);
  const float out_dot = d_out.dot(Lanes::read(a.out[t] + column, a.head_dim));
  if (threadIdx.x % kWarp == 0) a.at(a.out_dot, t, head) = out_dot;
}

// One warp per query and head.
template <class T>
__global__ void differentiate_queries(Heads<T> a) {
  const std::int64_t task = warp_index();
  if (task >= a.tokens * a.heads) return;
  const std::int64_t t = task / a.heads, first = t / a.sequence * a.sequence;
  const int head = static_cast<int>(task % a.heads);
  const Lanes q = Lanes::read(a.q[t] + a.column(head), a.head_dim);
  const Lanes d_out = Lanes::read(a.d_out[t] + a.column(head), a.head_dim);
  const float out_dot = a.at(a.out_dot, t, head), log_sum_exp = a.at(a.log_sum_exp, t, head);
  Lanes d_q = {};
  for (std::int64_t j = first; j <= t; ++j) {
    const Lanes k = Lanes::read(a.k[j] + a.kv_column(head), a.head_dim);
    const Lanes v = Lanes::read(a.v[j] + a.kv_column(head), a.head_dim);
    const float weight = expf(a.scale * q.dot(k) - log_sum_exp);
    d_q.add(weight * (d_out.dot(v) - out_dot) * a.scale, k);
  }
  d_q.write(a.d_q[t] + a.column(head), a.head_dim);
}

// One warp per key and key head: goes through the queries that see it, head by head.
template <class T>
__global__ void differentiate_keys(Heads<T> a) {
  const std::int64_t task = warp_index();
  if (task >= a.tokens * a.kv_heads) return;
  const std::int64_t j = task / a.kv_heads, end = (j / a.sequence + 1) * a.sequence;
  const int kv_head = static_cast<int>(task % a.kv_heads), group = a.heads / a.kv_heads;
  const Lanes k = Lanes::read(a.k[j] + kv_head * a.head_dim, a.head_dim);
  const Lanes v = Lanes::read(a.v[j] + kv_head * a.head_dim, a.head_dim);
  Lanes d_k = {}, d_v = {};
  for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
    for (std::int64_t t = j; t < end; ++t) {
      const Lanes q = Lanes::read(a.q[t] + a.column(head), a.head_dim);
      const Lanes d_out = Lanes::read(a.d_out[t] + a.column(head), a.head_dim);
      const float weight = expf(a.scale * q.dot(k) - a.at(a.log_sum_exp, t, head));
      d_v.add(weight, d_out);
      d_k.add(weight * (d_out.dot(v) - a.at(a.out_dot, t, head)) * a.scale, q);
    }
  }
  d_k.write(a.d_k[j] + kv_head * a.head_dim, a.head_dim);
  d_v.write(a.d_v[j] + kv_head * a.head_dim, a.head_dim);
}

template <class T, class Op>
Heads<T> heads_of(const Op& op) {
  expects(op.shape.head_dim <= kWarp * kPerLane, "attention on CUDA: head_dim of at most 256");
  return {.q = rows_of<T>(op.q),
          .k = rows_of<T>(op.k),
          .v = rows_of<T>(op.v),
          .out = rows_of<T>(op.out),
          .log_sum_exp = rows_of<float>(op.log_sum_exp),
          .tokens = op.q.rows,
          .sequence = static_cast<int>(op.shape.sequence),
          .heads = static_cast<int>(op.shape.heads),
          .kv_heads = static_cast<int>(op.shape.kv_heads),
          .head_dim = static_cast<int>(op.shape.head_dim),
          .scale = static_cast<float>(op.scale)};
}

unsigned blocks_for(std::int64_t warps) {
  return static_cast<unsigned>((warps + kWarps - 1) / kWarps);
}

template <class T>
void go_back(const Queue& queue, const AttentionBackward& op) {
  const Scratch<float> out_dot(queue, op.q.rows * op.shape.heads);
  auto heads = heads_of<T>(op);
  heads.d_out = rows_of<T>(op.d_out);
  heads.d_q = rows_of<T>(op.d_q);
  heads.d_k = rows_of<T>(op.d_k);
  heads.d_v = rows_of<T>(op.d_v);
  heads.out_dot = {out_dot.data(), op.shape.sequence};
  multiply_out<<<blocks_for(heads.tokens * heads.heads), kThreads, 0, queue>>>(heads);
  check(cudaGetLastError());
  if (differentiate_in_tiles(queue, op, out_dot.data())) return;
  differentiate_queries<<<blocks_for(heads.tokens * heads.heads), kThreads, 0, queue>>>(heads);
  check(cudaGetLastError());
  differentiate_keys<<<blocks_for(heads.tokens * heads.kv_heads), kThreads, 0, queue>>>(heads);
  check(cudaGetLastError());
}

}  // namespace

void launch(cudaStream_t stream, const Attention& op) {
  if (attend_in_tiles(stream, op)) return;
  dispatch(op.q.dtype, [&]<class T>() {
    const auto heads = heads_of<T>(op);
    attend<<<blocks_for(heads.tokens * heads.heads), kThreads, 0, stream>>>(heads);
    check(cudaGetLastError());
  });
}

void launch(const Queue& queue, const AttentionBackward& op) {
  dispatch(op.q.dtype, [&]<class T>() { go_back<T>(queue, op); });
}

}  // namespace trireme::kernels
