#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/operations.h"

namespace trireme::kernels {
namespace {

// Column sums are made in blocks of this many rows, and the blocks added in order.
constexpr int kBlockRows = 128;

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

// One block per row.
template <class T>
__global__ void normalize_rows(NormRows<T> n) {
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

template <class T>
struct NormGradient {
  Rows<T> x, weight, d_out, d_residual, d_x;
  std::int64_t rows, columns;
  bool has_residual, centered = false;
  const float *mean = nullptr, *scale = nullptr;

  __device__ float normalized(std::int64_t r, std::int64_t c) const {
    return (load(x[r][c]) - (centered ? mean[r] : 0.0f)) * scale[r];
  }
};

// One block per row.
template <class T>
__global__ void differentiate_rows(NormGradient<T> n) {
  const std::int64_t r = blockIdx.x;
  float dot = 0, total = 0;
  for (std::int64_t c = threadIdx.x; c < n.columns; c += kThreads) {
    const float d = load(n.d_out[r][c]) * load(n.weight[0][c]);
    dot += d * n.normalized(r, c);
    total += d;
  }
  dot = block_sum(dot) / static_cast<float>(n.columns);
  total = n.centered ? block_sum(total) / static_cast<float>(n.columns) : 0.0f;
  for (std::int64_t c = threadIdx.x; c < n.columns; c += kThreads) {
    const float d = load(n.d_out[r][c]) * load(n.weight[0][c]);
    const float d_x = n.scale[r] * (d - total - n.normalized(r, c) * dot);
    store(n.d_x[r][c], d_x + (n.has_residual ? load(n.d_residual[r][c]) : 0.0f));
  }
}

// parts[block][c] = the sum of value(r, c) over the block's rows. One thread per column and block.
template <class Sum, class Value>
__global__ void sum_blocks(std::int64_t rows, std::int64_t columns, Sum* parts, Value value) {
  const std::int64_t c = blockIdx.x * static_cast<std::int64_t>(blockDim.x) + threadIdx.x;
  if (c >= columns) return;
  const std::int64_t first = blockIdx.y * static_cast<std::int64_t>(kBlockRows);
  Sum sum = 0;
  for (std::int64_t r = first; r < rows && r < first + kBlockRows; ++r) sum += value(r, c);
  parts[blockIdx.y * columns + c] = sum;
}

// out[c] += the blocks, in order. One thread per column.
template <class Sum>
__global__ void add_blocks(std::int64_t blocks, std::int64_t columns, const Sum* parts, Sum* out) {
  const std::int64_t c = blockIdx.x * static_cast<std::int64_t>(blockDim.x) + threadIdx.x;
  if (c >= columns) return;
  Sum sum = out[c];
  for (std::int64_t b = 0; b < blocks; ++b) sum += parts[b * columns + c];
  out[c] = sum;
}

template <class Sum, class Value>
void add_column_sums(cudaStream_t stream, Shape shape, View out, const Value& value) {
  const std::int64_t blocks = (shape.rows + kBlockRows - 1) / kBlockRows;
  const DeviceScratch<Sum> parts(stream, blocks * shape.columns);
  const auto wide = static_cast<unsigned>((shape.columns + kThreads - 1) / kThreads);
  sum_blocks<<<dim3(wide, static_cast<unsigned>(blocks)), kThreads, 0, stream>>>(
      shape.rows, shape.columns, parts.data(), value);
  check(cudaGetLastError());
  add_blocks<<<wide, kThreads, 0, stream>>>(blocks, shape.columns, parts.data(),
                                            static_cast<Sum*>(out.data));
  check(cudaGetLastError());
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

template <class T>
void normalize(cudaStream_t stream, std::int64_t rows, const NormRows<T>& n) {
  normalize_rows<<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(n);
  check(cudaGetLastError());
}

template <class T>
void differentiate(cudaStream_t stream, const NormGradient<T>& n, View d_weight, View d_bias) {
  // The weight's gradient first: d_x may be the same memory as d_out's residual.
  add_column_sums<float>(stream, {n.rows, n.columns}, d_weight,
                         [n] __device__(std::int64_t r, std::int64_t c) {
                           return load(n.d_out[r][c]) * n.normalized(r, c);
                         });
  if (d_bias) {
    add_column_sums<float>(
        stream, {n.rows, n.columns}, d_bias,
        [n] __device__(std::int64_t r, std::int64_t c) { return load(n.d_out[r][c]); });
  }
  differentiate_rows<<<static_cast<unsigned>(n.rows), kThreads, 0, stream>>>(n);
  check(cudaGetLastError());
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

template <class T>
void column_sum(cudaStream_t stream, const ColumnSum& op) {
  const auto x = rows_of<T>(op.x);
  add_column_sums<float>(stream, op.x.shape(), op.out,
                         [x] __device__(std::int64_t r, std::int64_t c) { return load(x[r][c]); });
}

// Losses are added in double precision.
void column_sum_f64(cudaStream_t stream, const ColumnSum& op) {
  const auto x = rows_of<double>(op.x);
  add_column_sums<double>(stream, op.x.shape(), op.out,
                          [x] __device__(std::int64_t r, std::int64_t c) { return x[r][c]; });
}

}  // namespace

void launch(cudaStream_t stream, const RmsNorm& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    auto rows = norm_rows<T>(op);
    rows.out = rows_of<T>(op.out);
    rows.scale = static_cast<float*>(op.inv_rms.data);
    rows.centered = false;
    normalize(stream, op.x.rows, rows);
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
    normalize(stream, op.x.rows, rows);
  });
}

void launch(cudaStream_t stream, const RmsNormBackward& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    auto gradient = norm_gradient<T>(op);
    gradient.scale = static_cast<const float*>(op.inv_rms.data);
    gradient.centered = false;
    differentiate(stream, gradient, op.d_weight, View());
  });
}

void launch(cudaStream_t stream, const LayerNormBackward& op) {
  dispatch(op.x.dtype, [&]<class T>() {
    auto gradient = norm_gradient<T>(op);
    gradient.mean = static_cast<const float*>(op.mean.data);
    gradient.scale = static_cast<const float*>(op.inv_std.data);
    gradient.centered = true;
    differentiate(stream, gradient, op.d_weight, op.d_bias);
  });
}

void launch(cudaStream_t stream, const ColumnSum& op) {
  if (op.x.dtype == Dtype::f64) return column_sum_f64(stream, op);
  dispatch(op.x.dtype, [&]<class T>() { column_sum<T>(stream, op); });
}

}  // namespace trireme::kernels
