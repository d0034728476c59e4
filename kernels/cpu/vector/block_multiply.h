#pragma once

#include <cstdint>

#include "kernels/cpu/vector/numbers.h"

namespace trireme::kernels::VECTOR_NAMESPACE {

template <class Number>
constexpr std::int64_t kLanes = VECTOR_BYTES / static_cast<std::int64_t>(sizeof(Number));

// A matrix in cache, read through two strides, so that its transpose is another Block.
template <class Number>
struct Block {
  const Number* data;
  std::int64_t row_stride;
  std::int64_t column_stride;
};

// One tile: `Rows` rows and `Vectors` vectors of the product, held in registers over all of k.
template <class Number, int Rows, int Vectors>
inline void multiply_tile(Block<Number> a, const Number* b, std::int64_t b_stride, Number* out,
                          std::int64_t out_stride, std::int64_t inner, bool accumulate) {
  using Vector [[gnu::vector_size(VECTOR_BYTES), gnu::aligned(sizeof(Number)), gnu::may_alias]] =
      Number;
  Vector sums[Rows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) sums[r][v] = Vector{};
  }
  for (std::int64_t k = 0; k < inner; ++k) {
    Vector values[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      values[v] = *reinterpret_cast<const Vector*>(b + k * b_stride + v * kLanes<Number>);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Number factor = a.data[r * a.row_stride + k * a.column_stride];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sums[r][v] += factor * values[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      auto* target = reinterpret_cast<Vector*>(out + r * out_stride + v * kLanes<Number>);
      *target = accumulate ? *target + sums[r][v] : sums[r][v];
    }
  }
}

// out = a b, or out += a b. a is (rows, inner); b is (inner, columns) and out (rows, columns), both
// row-major; columns is a multiple of kLanes. Sums over `inner` in order.
template <class Number>
inline void multiply_block(Block<Number> a, const Number* b, std::int64_t b_stride, Number* out,
                           std::int64_t out_stride, Shape shape, std::int64_t inner,
                           bool accumulate) {
  // Sums, one row of b and one factor must fit in the vector registers: 32 with 64 bytes, else 16.
  constexpr int kVectors = 2;
  constexpr int kRows = VECTOR_BYTES == 64 ? 8 : 4;
  constexpr std::int64_t kWidth = kVectors * kLanes<Number>;
  for (std::int64_t c = 0; c < shape.columns;) {
    const bool wide = shape.columns - c >= kWidth;
    const std::int64_t width = wide ? kWidth : kLanes<Number>;
    for (std::int64_t r = 0; r < shape.rows;) {
      const bool tall = shape.rows - r >= kRows;
      const Block<Number> rows{a.data + r * a.row_stride, a.row_stride, a.column_stride};
      Number* target = out + r * out_stride + c;
      const auto tile = [&]<int Rows, int Vectors>() {
        multiply_tile<Number, Rows, Vectors>(rows, b + c, b_stride, target, out_stride, inner,
                                             accumulate);
      };
      if (wide && tall) {
        tile.template operator()<kRows, kVectors>();
      } else if (wide) {
        tile.template operator()<1, kVectors>();
      } else if (tall) {
        tile.template operator()<kRows, 1>();
      } else {
        tile.template operator()<1, 1>();
      }
      r += tall ? kRows : 1;
    }
    c += width;
  }
}

}  // namespace trireme::kernels::VECTOR_NAMESPACE
