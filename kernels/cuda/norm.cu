#include <initializer_list>

#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/operations.h"

namespace trireme::kernels {
namespace {

constexpr int kRowsOfBlock = 16;  // of a norm's gradient: enough blocks, and few sums to add

// Numbers of a row that a thread may hold, forward and backward.
constexpr int kMostHeld = 64, kMostHeldOfGradient = 32;

// What the two norms share; a LayerNorm also centers and has a bias.
template <class T>
struct NormRows {
  Rows<T> x, residual, sum, weight;
  std::int64_t columns;
  float epsilon;
  bool has_residual, centered = false;
  Rows<T> bias = {}, out = {};
  float *mean = nullptr, *scale = nullptr;
};

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

// The columns of a row that one of a block's threads holds in registers, in packs of n.
template <int n, int packs>
struct Held {
  Numbers<n> pack[packs] = {};

  // visit(column, pack) for those there are.
  template <class Visit>
  __device__ static void each(std::int64_t columns, const Visit& visit) {
#pragma unroll
    for (int p = 0; p < packs; ++p) {
      const std::int64_t c = (std::int64_t{p} * kThreads + threadIdx.x) * n;
      if (c < columns) visit(c, p);
    }
  }
};

// One block per row, which is read once.
template <class T, int n, int packs>
__global__ void normalize_rows(NormRows<T> norm) {
  using Mine = Held<n, packs>;
  const std::int64_t r = blockIdx.x;
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
  const float mean = norm.centered ? block_sum(total) / static_cast<float>(norm.columns) : 0.0f;
  float squares = 0;
  Mine::each(norm.columns, [&](std::int64_t, int p) {
    for (int i = 0; i < n; ++i) squares += (x.pack[p][i] - mean) * (x.pack[p][i] - mean);
  });
  const float scale =
      1.0f / sqrtf(block_sum(squares) / static_cast<float>(norm.columns) + norm.epsilon);
  if (threadIdx.x == 0) {
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

// What blocks add to the gradients of weight and, of a LayerNorm, bias: a row of each per block.
struct Shares {
  float *weight, *bias;
};

// One block per kRowsOfBlock rows, each read once.
template <class T, int n, int packs, bool centered>
__global__ void differentiate_rows(NormGradient<T> norm, Shares shares) {
  using Mine = Held<n, packs>;
  const std::int64_t first = blockIdx.x * std::int64_t{kRowsOfBlock};
  Mine d_weight, d_bias;
  for (std::int64_t r = first; r < norm.rows && r < first + kRowsOfBlock; ++r) {
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
    dot = block_sum(dot) / static_cast<float>(norm.columns);
    total = centered ? block_sum(total) / static_cast<float>(norm.columns) : 0.0f;
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
  Mine::each(norm.columns, [&](std::int64_t c, int p) {
    write<n>(shares.weight + blockIdx.x * norm.columns + c, d_weight.pack[p]);
    if (centered) write<n>(shares.bias + blockIdx.x * norm.columns + c, d_bias.pack[p]);
  });
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

template <class T, class Op>
NormRows<T> norm_rows(const Op& op) {
  return {.x = rows_of<T>(op.x),
          .residual = rows_of<T>(op.residual),
          .sum = rows_of<T>(op.sum),
          .weight = rows_of<T>(op.weight),
          .columns = op.x.columns,
          .epsilon = static_cast<float>(op.epsilon),
          .has_residual = static_cast<bool>(op.residual)};
}

// Calls launch.template operator()<n, packs>() for rows that a block's threads can hold, no more
// than `most` numbers each; false if they cannot.
template <class T, int most, class Launch>
bool launch_held(std::int64_t columns, std::initializer_list<View> views, const Launch& launch) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  const bool packed = in_packs<T>(views);
  const std::int64_t share = (columns + kThreads - 1) / kThreads;  // numbers of a thread
  if (!packed && share <= 8) return launch.template operator()<1, 8>(), true;
  if (!packed || share > most) return false;
  if (share <= kWide / 2) return launch.template operator()<kWide / 2, 1>(), true;
  if (share <= kWide) return launch.template operator()<kWide, 1>(), true;
  if (share <= 2 * kWide) return launch.template operator()<kWide, 2>(), true;
  if (share <= 4 * kWide) return launch.template operator()<kWide, 4>(), true;
  if constexpr (8 * kWide <= most) {
    if (share <= 8 * kWide) return launch.template operator()<kWide, 8>(), true;
  }
  return false;
}

template <class T>
void normalize(cudaStream_t stream, const NormRows<T>& n, std::initializer_list<View> views) {
  const Shape shape = views.begin()->shape();
  const auto rows = static_cast<unsigned>(shape.rows);
  if (rows == 0) return;
  const bool held = launch_held<T, kMostHeld>(shape.columns, views, [&]<int pack, int packs>() {
    normalize_rows<T, pack, packs><<<rows, kThreads, 0, stream>>>(n);
  });
  if (!held) normalize_long_rows<<<rows, kThreads, 0, stream>>>(n);
  check(cudaGetLastError());
}

template <class T>
void differentiate_long(cudaStream_t stream, const NormGradient<T>& n, View d_weight, View d_bias) {
  // The weight's gradient first: d_x may be the same memory as d_out's residual.
  add_column_sums<float>(stream, {n.rows, n.columns}, d_weight,
                         [n] __device__(std::int64_t r, std::int64_t c) {
                           return load(n.d_out[r][c]) * n.normalized(r, load(n.x[r][c]));
                         });
  if (d_bias) {
    add_column_sums<float>(
        stream, {n.rows, n.columns}, d_bias,
        [n] __device__(std::int64_t r, std::int64_t c) { return load(n.d_out[r][c]); });
  }
  differentiate_long_rows<<<static_cast<unsigned>(n.rows), kThreads, 0, stream>>>(n);
  check(cudaGetLastError());
}

template <class T, bool centered>
void differentiate(cudaStream_t stream, const NormGradient<T>& norm, View d_weight, View d_bias,
                   std::initializer_list<View> views) {
  if (norm.rows == 0) return;
  const std::int64_t blocks = (norm.rows + kRowsOfBlock - 1) / kRowsOfBlock;
  const auto grid = static_cast<unsigned>(blocks);
  const DeviceScratch<float> weights(stream, blocks * norm.columns);
  const DeviceScratch<float> biases(stream, centered ? blocks * norm.columns : 1);
  const Shares shares{weights.data(), biases.data()};
  const bool held =
      launch_held<T, kMostHeldOfGradient>(norm.columns, views, [&]<int n, int packs>() {
        differentiate_rows<T, n, packs, centered><<<grid, kThreads, 0, stream>>>(norm, shares);
      });
  if (!held) return differentiate_long(stream, norm, d_weight, d_bias);
  check(cudaGetLastError());
  add_rows(stream, blocks, norm.columns, weights.data(), d_weight);
  if (centered) add_rows(stream, blocks, norm.columns, biases.data(), d_bias);
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

void launch(cudaStream_t stream, const RmsNormBackward& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    auto gradient = norm_gradient<T>(op);
    gradient.scale = static_cast<const float*>(op.inv_rms.data);
    differentiate<T, false>(stream, gradient, op.d_weight, View(),
                            {op.x, op.weight, op.d_out, op.d_residual, op.d_x});
  });
}

void launch(cudaStream_t stream, const LayerNormBackward& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    auto gradient = norm_gradient<T>(op);
    gradient.mean = static_cast<const float*>(op.mean.data);
    gradient.scale = static_cast<const float*>(op.inv_std.data);
    gradient.centered = true;
    differentiate<T, true>(stream, gradient, op.d_weight, op.d_bias,
                           {op.x, op.weight, op.d_out, op.d_residual, op.d_x});
  });
}

}  // namespace trireme::kernels
