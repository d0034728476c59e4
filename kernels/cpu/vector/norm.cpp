#include "kernels/cpu/vector/numbers.h"
#include "kernels/cpu/vector/operations.h"

namespace trireme::kernels::VECTOR_NAMESPACE {
namespace {

// Gradients of a row vector are summed within blocks of this many rows and the blocks added in
// order, so that the result does not depend on the number of threads.
constexpr std::int64_t kBlockRows = 32;

// out[i] += the sum over blocks b of partial[b][i].
template <class Number>
void add_partials(const Scratch<Number>& partial, std::int64_t blocks, View out) {
  Number* total = row<Number>(out, 0);
  for (std::int64_t b = 0; b < blocks; ++b) {
    const Number* block = partial.data() + b * out.columns;
#pragma omp simd
    for (std::int64_t c = 0; c < out.columns; ++c) total[c] += block[c];
  }
}

std::int64_t block_count(std::int64_t rows) { return (rows + kBlockRows - 1) / kBlockRows; }

// The row to normalize: x, or x + residual, which is then kept in `sum`.
template <class T>
const T* summed_row(const T* x, const View& residual, const View& sum, std::int64_t r) {
  if (!residual) return x;
  const T* other = row<T>(residual, r);
  T* total = row<T>(sum, r);
#pragma omp simd
  for (std::int64_t c = 0; c < sum.columns; ++c) store(total[c], load(x[c]) + load(other[c]));
  return total;
}

// d_x = scale (d weight - mean(d weight) - normalized mean(d weight normalized)) + d_residual, the
// first mean only for a norm that centers.
template <class T>
struct NormRow {
  const T* x;
  const T* weight;
  const T* d_out;
  const T* d_residual;
  T* d_x;
  std::int64_t columns;
  Real<T> mean;   // 0 for a norm that does not center
  Real<T> scale;  // inv_rms or inv_std
  bool centered;
};

// Everything is copied to locals first: the compiler cannot know that the stores leave `n` alone.
template <class T, bool kResidual>
void norm_backward_row(const NormRow<T>& n, Real<T>* __restrict d_weight,
                       Real<T>* __restrict d_bias) {
  using Number = Real<T>;
  const T *x = n.x, *weight = n.weight, *d_out = n.d_out, *d_residual = n.d_residual;
  T* d_x = n.d_x;
  const std::int64_t columns = n.columns;
  const Number mean = n.mean, scale = n.scale;
  Number dot = 0, total = 0;
#pragma omp simd reduction(+ : dot, total)
  for (std::int64_t c = 0; c < columns; ++c) {
    const Number d = load(d_out[c]) * load(weight[c]);
    dot += d * (load(x[c]) - mean) * scale;
    total += d;
  }
  dot /= static_cast<Number>(columns);
  total = n.centered ? total / static_cast<Number>(columns) : Number(0);
#pragma omp simd
  for (std::int64_t c = 0; c < columns; ++c) {
    const Number d = load(d_out[c]);
    const Number normalized = (load(x[c]) - mean) * scale;
    Number gradient = scale * (d * load(weight[c]) - total - normalized * dot);
    if constexpr (kResidual) gradient += load(d_residual[c]);
    store(d_x[c], gradient);
    d_weight[c] += d * normalized;
  }
  if (!d_bias) return;
#pragma omp simd
  for (std::int64_t c = 0; c < columns; ++c) d_bias[c] += load(d_out[c]);
}

template <class T, class RowOf>
void norm_backward(View x, View d_weight, View d_bias, const RowOf& row_of) {
  using Number = Real<T>;
  const std::int64_t blocks = block_count(x.rows);
  const Scratch<Number> weight_parts(blocks * x.columns);
  const Scratch<Number> bias_parts(d_bias ? blocks * x.columns : 0);
#pragma omp parallel for schedule(static)
  for (std::int64_t b = 0; b < blocks; ++b) {
    Number* weight_part = weight_parts.data() + b * x.columns;
    Number* bias_part = d_bias ? bias_parts.data() + b * x.columns : nullptr;
    for (std::int64_t c = 0; c < x.columns; ++c) weight_part[c] = 0;
    for (std::int64_t c = 0; bias_part && c < x.columns; ++c) bias_part[c] = 0;
    const std::int64_t end = x.rows < (b + 1) * kBlockRows ? x.rows : (b + 1) * kBlockRows;
    for (std::int64_t r = b * kBlockRows; r < end; ++r) {
      const NormRow<T> n = row_of(r);
      const auto run = n.d_residual ? norm_backward_row<T, true> : norm_backward_row<T, false>;
      run(n, weight_part, bias_part);
    }
  }
  add_partials(weight_parts, blocks, d_weight);
  if (d_bias) add_partials(bias_parts, blocks, d_bias);
}

}  // namespace

void run(const RmsNorm& op) {
  dispatch(op.x.dtype, [&](auto type) {
    using T = decltype(type);
    using Number = Real<T>;
    const T* weight = row<T>(op.weight, 0);
    const std::int64_t columns = op.x.columns;
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < op.x.rows; ++r) {
      const T* x = summed_row(row<T>(op.x, r), op.residual, op.sum, r);
      T* out = row<T>(op.out, r);
      Number squares = 0;
#pragma omp simd reduction(+ : squares)
      for (std::int64_t c = 0; c < columns; ++c) squares += load(x[c]) * load(x[c]);
      const Number inv_rms = Number(1) / std::sqrt(squares / static_cast<Number>(columns) +
                                                   static_cast<Number>(op.epsilon));
      row<Number>(op.inv_rms, r)[0] = inv_rms;
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c) {
        store(out[c], load(weight[c]) * (load(x[c]) * inv_rms));
      }
    }
  });
}

void run(const RmsNormBackward& op) {
  dispatch(op.x.dtype, [&](auto type) {
    using T = decltype(type);
    norm_backward<T>(op.x, op.d_weight, View(), [&](std::int64_t r) {
      return NormRow<T>{.x = row<T>(op.x, r),
                        .weight = row<T>(op.weight, 0),
                        .d_out = row<T>(op.d_out, r),
                        .d_residual = op.d_residual ? row<T>(op.d_residual, r) : nullptr,
                        .d_x = row<T>(op.d_x, r),
                        .columns = op.x.columns,
                        .mean = 0,
                        .scale = row<Real<T>>(op.inv_rms, r)[0],
                        .centered = false};
    });
  });
}

void run(const LayerNorm& op) {
  dispatch(op.x.dtype, [&](auto type) {
    using T = decltype(type);
    using Number = Real<T>;
    const T* weight = row<T>(op.weight, 0);
    const T* bias = row<T>(op.bias, 0);
    const std::int64_t columns = op.x.columns;
#pragma omp parallel for schedule(static)
    for (std::int64_t r = 0; r < op.x.rows; ++r) {
      const T* x = summed_row(row<T>(op.x, r), op.residual, op.sum, r);
      T* out = row<T>(op.out, r);
      Number total = 0;
#pragma omp simd reduction(+ : total)
      for (std::int64_t c = 0; c < columns; ++c) total += load(x[c]);
      const Number mean = total / static_cast<Number>(columns);
      Number squares = 0;
#pragma omp simd reduction(+ : squares)
      for (std::int64_t c = 0; c < columns; ++c)
        squares += (load(x[c]) - mean) * (load(x[c]) - mean);
      const Number inv_std = Number(1) / std::sqrt(squares / static_cast<Number>(columns) +
                                                   static_cast<Number>(op.epsilon));
      row<Number>(op.mean, r)[0] = mean;
      row<Number>(op.inv_std, r)[0] = inv_std;
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c) {
        store(out[c], load(weight[c]) * ((load(x[c]) - mean) * inv_std) + load(bias[c]));
      }
    }
  });
}

void run(const LayerNormBackward& op) {
  dispatch(op.x.dtype, [&](auto type) {
    using T = decltype(type);
    norm_backward<T>(op.x, op.d_weight, op.d_bias, [&](std::int64_t r) {
      return NormRow<T>{.x = row<T>(op.x, r),
                        .weight = row<T>(op.weight, 0),
                        .d_out = row<T>(op.d_out, r),
                        .d_residual = op.d_residual ? row<T>(op.d_residual, r) : nullptr,
                        .d_x = row<T>(op.d_x, r),
                        .columns = op.x.columns,
                        .mean = row<Real<T>>(op.mean, r)[0],
                        .scale = row<Real<T>>(op.inv_std, r)[0],
                        .centered = true};
    });
  });
}

void run(const ColumnSum& op) {
  dispatch(op.x.dtype, [&](auto type) {
    using T = decltype(type);
    using Number = Real<T>;
    const std::int64_t blocks = block_count(op.x.rows);
    const Scratch<Number> parts(blocks * op.x.columns);
#pragma omp parallel for schedule(static)
    for (std::int64_t b = 0; b < blocks; ++b) {
      Number* part = parts.data() + b * op.x.columns;
      for (std::int64_t c = 0; c < op.x.columns; ++c) part[c] = 0;
      const std::int64_t end = op.x.rows < (b + 1) * kBlockRows ? op.x.rows : (b + 1) * kBlockRows;
      for (std::int64_t r = b * kBlockRows; r < end; ++r) {
        const T* x = row<T>(op.x, r);
#pragma omp simd
        for (std::int64_t c = 0; c < op.x.columns; ++c) part[c] += load(x[c]);
      }
    }
    add_partials(parts, blocks, op.out);
  });
}

}  // namespace trireme::kernels::VECTOR_NAMESPACE
