#include <algorithm>

#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/norm_rows.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/queue.h"

namespace trireme::kernels {
namespace {

constexpr int kMostHeld = 32;  // numbers of a row that a thread may hold

// Each block adds up what its rows say about the weight: enough blocks for any GPU, and few sums
// to add afterwards. Not of the GPU at hand: the same numbers give the same bits on all.
constexpr std::int64_t kFewestRows = 16, kMostBlocks = 1024;

template <class T>
struct NormGradient {
  Rows<T> x, weight, d_out, d_residual, d_x;
  std::int64_t rows, columns;
  bool has_residual, centered = false;
  const float *mean = nullptr, *scale = nullptr;

  __device__ float normalized(std::int64_t r, float x) const {
    return (x - (centered ? mean[r] : 0.0f)) * scale[r];
  }
};

// What blocks add to the gradients of weight and, of a LayerNorm, bias: a row of each for so many
// rows.
struct Shares {
  float *weight, *bias;
  std::int64_t rows;
};

// What the threads of a block hold of a sum over rows becomes a row.
template <class Mine>
__device__ void add_up(const Mine& sums, std::int64_t columns, float* row) {
  constexpr int n = Mine::kPack;
  if constexpr (Mine::kRows == 1) {
    Mine::each(columns, [&](std::int64_t c, int p) { write<n>(row + c, sums.pack[p]); });
  } else {
    __shared__ float found[Mine::kRows][Mine::kColumns];
    __syncthreads();  // the last use of the shared memory is over
    Mine::each(columns, [&](std::int64_t c, int p) {
      for (int i = 0; i < n; ++i) found[Mine::row()][c + i] = sums.pack[p][i];
    });
    __syncthreads();
    for (std::int64_t c = threadIdx.x; c < columns; c += kThreads) {
      float sum = 0;
      for (int r = 0; r < Mine::kRows; ++r) sum += found[r][c];
      row[c] = sum;
    }
  }
}

// Each row is read once, by those of a block's threads that share it.
template <class T, class Mine, bool centered>
__global__ void differentiate_rows(NormGradient<T> norm, Shares shares) {
  constexpr int n = Mine::kPack;
  const std::int64_t first = blockIdx.x * shares.rows;
  const std::int64_t end = first + shares.rows < norm.rows ? first + shares.rows : norm.rows;
  Mine d_weight, d_bias;
  for (std::int64_t r = first + Mine::row(); r < end; r += Mine::kRows) {
    Mine x, d;
    float dot = 0, total = 0;
    Mine::each(norm.columns, [&](std::int64_t c, int p) {
      x.pack[p] = read<n>(norm.x[r] + c);
      d.pack[p] = read<n>(norm.d_out[r] + c);
      const auto weight = read<n>(norm.weight[0] + c);
      for (int i = 0; i < n; ++i) {
        float &number = x.pack[p][i], &slope = d.pack[p][i];
        number = norm.normalized(r, number);
        d_weight.pack[p][i] += slope * number;
        if (centered) d_bias.pack[p][i] += slope;
        slope *= weight[i];
        dot += slope * number;
        total += slope;
      }
    });
    dot = Mine::sum(dot) / static_cast<float>(norm.columns);
    total = centered ? Mine::sum(total) / static_cast<float>(norm.columns) : 0.0f;
    Mine::each(norm.columns, [&](std::int64_t c, int p) {
      auto& out = d.pack[p];
      for (int i = 0; i < n; ++i) out[i] = norm.scale[r] * (out[i] - total - x.pack[p][i] * dot);
      if (norm.has_residual) {
        const auto added = read<n>(norm.d_residual[r] + c);
        for (int i = 0; i < n; ++i) out[i] += added[i];
      }
      write<n>(norm.d_x[r] + c, out);
    });
  }
  add_up(d_weight, norm.columns, shares.weight + blockIdx.x * norm.columns);
  if (centered) add_up(d_bias, norm.columns, shares.bias + blockIdx.x * norm.columns);
}

// One block per row, of any length.
template <class T>
__global__ void differentiate_long_rows(NormGradient<T> n) {
  const std::int64_t r = blockIdx.x;
  float dot = 0, total = 0;
  for (std::int64_t c = threadIdx.x; c < n.columns; c += kThreads) {
    const float d = load(n.d_out[r][c]) * load(n.weight[0][c]);
    dot += d * n.normalized(r, load(n.x[r][c]));
    total += d;
  }
  dot = block_sum(dot) / static_cast<float>(n.columns);
  total = n.centered ? block_sum(total) / static_cast<float>(n.columns) : 0.0f;
  for (std::int64_t c = threadIdx.x; c < n.columns; c += kThreads) {
    const float d = load(n.d_out[r][c]) * load(n.weight[0][c]);
    const float d_x = n.scale[r] * (d - total - n.normalized(r, load(n.x[r][c])) * dot);
    store(n.d_x[r][c], d_x + (n.has_residual ? load(n.d_residual[r][c]) : 0.0f));
  }
}

// What a row adds to the gradients of weight and bias.
template <class T>
struct WeightGradient {
  NormGradient<T> norm;

  template <int n>
  __device__ void add(std::int64_t r, std::int64_t c, float (&sums)[n]) const {
    for (int i = 0; i < n; ++i) {
      sums[i] += load(norm.d_out[r][c + i]) * norm.normalized(r, load(norm.x[r][c + i]));
    }
  }
};
template <class T>
struct BiasGradient {
  NormGradient<T> norm;

  template <int n>
  __device__ void add(std::int64_t r, std::int64_t c, float (&sums)[n]) const {
    for (int i = 0; i < n; ++i) sums[i] += load(norm.d_out[r][c + i]);
  }
};

template <class T>
void differentiate_long(const Queue& queue, const NormGradient<T>& n, View d_weight, View d_bias) {
  const Shape shape{n.rows, n.columns};
  // The weight's gradient first: d_x may be the same memory as d_out's residual.
  add_column_sums<1, float>(queue, shape, d_weight, WeightGradient<T>{n});
  if (d_bias) add_column_sums<1, float>(queue, shape, d_bias, BiasGradient<T>{n});
  differentiate_long_rows<<<static_cast<unsigned>(n.rows), kThreads, 0, queue>>>(n);
  check(cudaGetLastError());
}

template <class T, bool centered>
void differentiate(const Queue& queue, const NormGradient<T>& norm, View d_weight, View d_bias,
                   std::initializer_list<View> views) {
  if (norm.rows == 0) return;
  const std::int64_t rows_of_block =
      std::max(kFewestRows, (norm.rows + kMostBlocks - 1) / kMostBlocks);
  const std::int64_t blocks = (norm.rows + rows_of_block - 1) / rows_of_block;
  const auto grid = static_cast<unsigned>(blocks);
  const Scratch<float> weights(queue, blocks * norm.columns);
  const Scratch<float> biases(queue, centered ? blocks * norm.columns : 1);
  const Shares shares{weights.data(), biases.data(), rows_of_block};
  const bool held = launch_held<T, kMostHeld>(norm.columns, views, [&]<class Mine>() {
    differentiate_rows<T, Mine, centered><<<grid, kThreads, 0, queue>>>(norm, shares);
  });
  if (!held) return differentiate_long(queue, norm, d_weight, d_bias);
  check(cudaGetLastError());
  add_rows(queue, blocks, norm.columns, weights.data(), d_weight);
  if (centered) add_rows(queue, blocks, norm.columns, biases.data(), d_bias);
}

template <class T, class Op>
NormGradient<T> norm_gradient(const Op& op) {
  return {.x = rows_of<T>(op.x),
          .weight = rows_of<T>(op.weight),
          .d_out = rows_of<T>(op.d_out),
          .d_residual = rows_of<T>(op.d_residual),
          .d_x = rows_of<T>(op.d_x),
          .rows = op.x.rows,
          .columns = op.x.columns,
          .has_residual = static_cast<bool>(op.d_residual)};
}

}  // namespace

void launch(const Queue& queue, const RmsNormBackward& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    auto gradient = norm_gradient<T>(op);
    gradient.scale = static_cast<const float*>(op.inv_rms.data);
    differentiate<T, false>(queue, gradient, op.d_weight, View(),
                            {op.x, op.weight, op.d_out, op.d_residual, op.d_x});
  });
}

void launch(const Queue& queue, const LayerNormBackward& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    auto gradient = norm_gradient<T>(op);
    gradient.mean = static_cast<const float*>(op.mean.data);
    gradient.scale = static_cast<const float*>(op.inv_std.data);
    gradient.centered = true;
    differentiate<T, true>(queue, gradient, op.d_weight, op.d_bias,
                           {op.x, op.weight, op.d_out, op.d_residual, op.d_x});
  });
}

}  // namespace trireme::kernels
