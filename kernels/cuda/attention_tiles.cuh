#pragma once

#include "kernels/cuda/alignment.h"
#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/warp.cuh"

// What attention on tensor cores is made of, forward and backward: tiles of one head in shared
// memory, and products of them.
namespace trireme::kernels {

constexpr int kBlockThreads = 128;  // four warps, of 16 rows of a tile each
constexpr int kTileRows = 64;
constexpr int kPadding = 8;  // elements, so that the rows of a matrix lie in different banks
constexpr float kLog2E = 1.4426950408889634f;

template <class T>
struct Tiles {
  Rows<T> q, k, v, out;
  Rows<float> log_sum_exp;  // (sequences * heads, sequence), like out_dot
  int sequence, heads, kv_heads, head_dim;
  float scale;
  Rows<T> d_out = {}, d_q = {}, d_k = {}, d_v = {};
  Rows<const float> out_dot = {};

  __device__ int row_tiles() const { return (sequence + kTileRows - 1) / kTileRows; }
  __device__ int group() const { return heads / kv_heads; }
  // Of this block's sequence.
  __device__ std::int64_t statistics_row(int head) const {
    return std::int64_t{blockIdx.z} * heads + head;
  }
};

// Where a thread stands in its warp, and what it has of a fragment.
struct Lane {
  int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  int row = lane / 4, column = lane % 4 * 2;  // of c: rows row and row + 8, columns column and + 1
};

// Rows of one head in shared memory, `width` columns, zeros beyond what there is.
template <class T, int width>
struct Tile {
  static constexpr int kStride = width + kPadding;
  T* data;

  __device__ T* at(int row, int column) const { return data + row * kStride + column; }

  // Begins to copy `rows` rows from row `first` of the sequence that begins at `base`.
  __device__ void begin_load(int rows, Rows<T> from, std::int64_t base, int first, int sequence,
                             int column, int head_dim) const {
    constexpr int kPieces = width / 8;
    for (int i = static_cast<int>(threadIdx.x); i < rows * kPieces; i += kBlockThreads) {
      const int r = i / kPieces, c = i % kPieces * 8;
      const bool exists = first + r < sequence && c < head_dim;
      begin_copy(at(r, c), from[base + (exists ? first + r : 0)] + column + (exists ? c : 0),
                 exists);
    }
  }

  // Rows row0 to row0 + 15 and columns k to k + 15, as the first factor.
  __device__ void first_factor(unsigned (&to)[4], const Lane& l, int row0, int k) const {
    load_matrices(to, at(row0 + l.lane % 16, k + l.lane / 16 * 8));
  }
  // The second factor of two products whose columns are rows n to n + 15 of this tile.
  __device__ void second_of_rows(unsigned (&to)[4], const Lane& l, int n, int k) const {
    load_matrices(to, at(n + l.lane % 8 + l.lane / 16 * 8, k + l.lane / 8 % 2 * 8));
  }
  // The second factor of two products whose columns are columns n to n + 15 of this tile.
  __device__ void second_of_columns(unsigned (&to)[4], const Lane& l, int k, int n) const {
    load_transposed(to, at(k + l.lane % 8 + l.lane / 8 % 2 * 8, n + l.lane / 16 * 8));
  }
};

template <int width, int rows>
constexpr int kTileElements = rows*(width + kPadding);

// products (16, columns) = rows of a . rows of b, both `width` wide.
template <class T, int width, int columns>
__device__ void multiply_rows(float (&products)[columns / 8][4], const Lane& l, Tile<T, width> a,
                              Tile<T, width> b) {
  for (auto& product : products) {
    for (float& value : product) value = 0;
  }
#pragma unroll
  for (int k = 0; k < width; k += 16) {
    unsigned first[4], second[4];
    a.first_factor(first, l, l.warp * 16, k);
#pragma unroll
    for (int n = 0; n < columns; n += 16) {
      b.second_of_rows(second, l, n, k);
      multiply_add(products[n / 8], first, second[0], second[1], T());
      multiply_add(products[n / 8 + 1], first, second[2], second[3], T());
    }
  }
}

// sums (16, width) += factors (16, rows) . b (rows, width); factors are rounded to T.
template <class T, int width, int rows>
__device__ void multiply_columns(float (&sums)[width / 8][4], const float (&factors)[rows / 8][4],
                                 const Lane& l, Tile<T, width> b) {
#pragma unroll
  for (int k = 0; k < rows; k += 16) {
    const float(&low)[4] = factors[k / 8];
    const float(&high)[4] = factors[k / 8 + 1];
    const unsigned first[4] = {packed(low[0], low[1], T()), packed(low[2], low[3], T()),
                               packed(high[0], high[1], T()), packed(high[2], high[3], T())};
    unsigned second[4];
#pragma unroll
    for (int n = 0; n < width; n += 16) {
      b.second_of_columns(second, l, k, n);
      multiply_add(sums[n / 8], first, second[0], second[1], T());
      multiply_add(sums[n / 8 + 1], first, second[2], second[3], T());
    }
  }
}

// Rows of a warp's sums, from row `first` of the sequence on, times a factor for each of the two.
template <class T, int width>
__device__ void store_rows(Rows<T> to, const float (&sums)[width / 8][4], const Lane& l,
                           std::int64_t base, int first, int sequence, int column, int head_dim,
                           const float (&factor)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = first + l.warp * 16 + l.row + 8 * i;
    if (row >= sequence) continue;
    T* out = to[base + row] + column;
#pragma unroll
    for (int n = 0; n < width / 8; ++n) {
      const int c = n * 8 + l.column;
      if (c >= head_dim) continue;
      *reinterpret_cast<unsigned*>(out + c) =
          packed(sums[n][2 * i] * factor[i], sums[n][2 * i + 1] * factor[i], T());
    }
  }
}

template <class T, class Op>
Tiles<T> tiles_of(const Op& op) {
  return {.q = rows_of<T>(op.q),
          .k = rows_of<T>(op.k),
          .v = rows_of<T>(op.v),
          .out = rows_of<T>(op.out),
          .log_sum_exp = rows_of<float>(op.log_sum_exp),
          .sequence = static_cast<int>(op.shape.sequence),
          .heads = static_cast<int>(op.shape.heads),
          .kv_heads = static_cast<int>(op.shape.kv_heads),
          .head_dim = static_cast<int>(op.shape.head_dim),
          .scale = static_cast<float>(op.scale)};
}

template <class Op>
bool is_suited(const Op& op) {
  return op.shape.head_dim <= 128 && op.shape.head_dim % 8 == 0 && is_aligned(op.q) &&
         is_aligned(op.k) && is_aligned(op.v) && is_aligned(op.out);
}

// A kernel over tiles of rows, heads and sequences, with `elements` of T in shared memory.
template <class T>
void launch_tiles(cudaStream_t stream, void (*kernel)(Tiles<T>), const Tiles<T>& tiles,
                  std::int64_t tokens, int heads, int elements) {
  const auto bytes = static_cast<int>(static_cast<std::size_t>(elements) * sizeof(T));
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  const int row_tiles = (tiles.sequence + kTileRows - 1) / kTileRows;
  const dim3 grid(static_cast<unsigned>(row_tiles), static_cast<unsigned>(heads),
                  static_cast<unsigned>(tokens / tiles.sequence));
  kernel<<<grid, kBlockThreads, static_cast<std::size_t>(bytes), stream>>>(tiles);
  check(cudaGetLastError());
}

// Calls `body.template operator()<T, width>()` with the narrowest tile that holds a head.
template <class Body>
void dispatch_width(Dtype dtype, std::int64_t head_dim, const Body& body) {
  const auto with = [&]<class T>() {
    if (head_dim <= 32) return body.template operator()<T, 32>();
    if (head_dim <= 64) return body.template operator()<T, 64>();
    return body.template operator()<T, 128>();
  };
  if (dtype == Dtype::bf16) return with.template operator()<__nv_bfloat16>();
  with.template operator()<__half>();
}

}  // namespace trireme::kernels
