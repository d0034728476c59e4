#include "kernels/cuda/norm_rows.cuh"
#include "kernels/cuda/operations.h"

namespace trireme::kernels {
namespace {

constexpr int kMostHeld = 64;  // numbers of a row that a thread may hold

// What the two norms share; a LayerNorm also centers and has a bias.
template <class T>
struct NormRows {
  Rows<T> x, residual, sum, weight;
  std::int64_t rows, columns;
  float epsilon;
  bool has_residual, centered = false;
  Rows<T> bias = {}, out = {};
  float *mean = nullptr, *scale = nullptr;
};

// Each row is read once, by those of a block's threads that share it.
template <class T, class Mine>
__global__ void normalize_rows(NormRows<T> norm) {
  constexpr int n = Mine::kPack;
  const std::int64_t r = blockIdx.x * std::int64_t{Mine::kRows} + Mine::row();
  if (r >= norm.rows) return;  // a warp's row: no other thread waits
  Mine x;
  float total = 0;
  Mine::each(norm.columns, [&](std::int64_t c, int p) {
    auto& mine = x.pack[p];
    mine = read<n>(norm.x[r] + c);
    if (norm.has_residual) {
      const auto added = read<n>(norm.residual[r] + c);
      for (int i = 0; i < n; ++i) mine[i] = rounded<T>(mine[i] + added[i]);
      write<n>(norm.sum[r] + c, mine);
    }
    for (int i = 0; i < n; ++i) total += mine[i];
  });
  const float mean = norm.centered ? Mine::sum(total) / static_cast<float>(norm.columns) : 0.0f;
  float squares = 0;
  Mine::each(norm.columns, [&](std::int64_t, int p) {
    for (int i = 0; i < n; ++i) squares += (x.pack[p][i] - mean) * (x.pack[p][i] - mean);
  });
  const float scale =
      1.0f / sqrtf(Mine::sum(squares) / static_cast<float>(norm.columns) + norm.epsilon);
  if (Mine::is_first()) {
    norm.scale[r] = scale;
    if (norm.centered) norm.mean[r] = mean;
  }
  Mine::each(norm.columns, [&](std::int64_t c, int p) {
    auto& mine = x.pack[p];
    const auto weight = read<n>(norm.weight[0] + c);
    for (int i = 0; i < n; ++i) mine[i] = weight[i] * ((mine[i] - mean) * scale);
    if (norm.centered) {
      const auto bias = read<n>(norm.bias[0] + c);
      for (int i = 0; i < n; ++i) mine[i] += bias[i];
    }
    write<n>(norm.out[r] + c, mine);
  });
}

// One block per row, of any length.
template <class T>
__global__ void normalize_long_rows(NormRows<T> n) {
  const std::int64_t r = blockIdx.x;
  T* x = n.has_residual ? n.sum[r] : n.x[r];
  if (n.has_residual) {
    for (std::int64_t c = threadIdx.x; c < n.columns; c += kThreads) {
      store(x[c], load(n.x[r][c]) + load(n.residual[r][c]));
    }
  }
  float total = 0;
  if (n.centered) {
    for (std::int64_t c = threadIdx.x; c < n.columns; c += kThreads) total += load(x[c]);
  }
  const float mean = n.centered ? block_sum(total) / static_cast<float>(n.columns) : 0.0f;
  float squares = 0;
  for (std::int64_t c = threadIdx.x; c < n.columns; c += kThreads) {
    squares += (load(x[c]) - mean) * (load(x[c]) - mean);
  }
  const float scale = 1.0f / sqrtf(block_sum(squares) / static_cast<float>(n.columns) + n.epsilon);
  if (threadIdx.x == 0) {
    n.scale[r] = scale;
    if (n.centered) n.mean[r] = mean;
  }
  for (std::int64_t c = threadIdx.x; c < n.columns; c += kThreads) {
    const float bias = n.centered ? load(n.bias[0][c]) : 0.0f;
    store(n.out[r][c], load(n.weight[0][c]) * ((load(x[c]) - mean) * scale) + bias);
  }
}

template <class T, class Op>
NormRows<T> norm_rows(const Op& op) {
  return {.x = rows_of<T>(op.x),
          .residual = rows_of<T>(op.residual),
          .sum = rows_of<T>(op.sum),
          .weight = rows_of<T>(op.weight),
          .rows = op.x.rows,
          .columns = op.x.columns,
          .epsilon = static_cast<float>(op.epsilon),
          .has_residual = static_cast<bool>(op.residual)};
}

template <class T>
void normalize(cudaStream_t stream, const NormRows<T>& n, std::initializer_list<View> views) {
  if (n.rows == 0) return;
  const bool held = launch_held<T, kMostHeld>(n.columns, views, [&]<class Mine>() {
    const auto blocks = static_cast<unsigned>((n.rows + Mine::kRows - 1) / Mine::kRows);
    normalize_rows<T, Mine><<<blocks, kThreads, 0, stream>>>(n);
  });
  if (!held) normalize_long_rows<<<static_cast<unsigned>(n.rows), kThreads, 0, stream>>>(n);
  check(cudaGetLastError());
}

}  // namespace

void launch(cudaStream_t stream, const RmsNorm& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    auto rows = norm_rows<T>(op);
    rows.out = rows_of<T>(op.out);
    rows.scale = static_cast<float*>(op.inv_rms.data);
    normalize(stream, rows, {op.x, op.residual, op.sum, op.weight, op.out});
  });
}

void launch(cudaStream_t stream, const LayerNorm& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    auto rows = norm_rows<T>(op);
    rows.out = rows_of<T>(op.out);
    rows.bias = rows_of<T>(op.bias);
    rows.mean = static_cast<float*>(op.mean.data);
    rows.scale = static_cast<float*>(op.inv_std.data);
    rows.centered = true;
    normalize(stream, rows, {op.x, op.residual, op.sum, op.weight, op.bias, op.out});
  });
}

}  // namespace trireme::kernels
