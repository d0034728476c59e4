#pragma once

#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/queue.h"

// Sums of columns: of blocks of rows first, then of the blocks. The order depends on the shape
// alone, so the same numbers give the same bits.
namespace trireme::kernels {

constexpr int kBlockRows = 128;  // of the first sums
constexpr int kColumnLanes = 32;
constexpr int kRowGroups = kThreads / kColumnLanes;

// parts[block][c] = the sum of the block's rows. Of a block's threads, 32 lie along a row, n
// columns each, and eight such groups take its rows in turn: value.template add<n>(r, c, sums).
template <int n, class Sum, class Value>
__global__ void sum_blocks(Shape shape, Sum* parts, Value value) {
  __shared__ Sum found[kRowGroups][kColumnLanes * n];
  const int lane = static_cast<int>(threadIdx.x) % kColumnLanes;
  const int group = static_cast<int>(threadIdx.x) / kColumnLanes;
  const std::int64_t columns = blockIdx.x * std::int64_t{kColumnLanes * n};  // and those after it
  const std::int64_t c = columns + lane * n;
  const std::int64_t first = blockIdx.y * std::int64_t{kBlockRows};
  const std::int64_t end = first + kBlockRows < shape.rows ? first + kBlockRows : shape.rows;
  Sum sums[n] = {};
  if (c < shape.columns) {
#pragma unroll 4
    for (std::int64_t r = first + group; r < end; r += kRowGroups)
      value.template add<n>(r, c, sums);
  }
  for (int i = 0; i < n; ++i) found[group][lane * n + i] = sums[i];
  __syncthreads();
  const int mine = static_cast<int>(threadIdx.x);
  if (mine >= kColumnLanes * n || columns + mine >= shape.columns) return;
  Sum sum = 0;
  for (int g = 0; g < kRowGroups; ++g) sum += found[g][mine];
  parts[blockIdx.y * shape.columns + columns + mine] = sum;
}

constexpr int kPartGroups = 32;

// out[c] += the parts. A block has 32 columns, and 32 groups that take their parts in turn.
template <class Sum>
__global__ void add_parts(std::int64_t count, std::int64_t columns, const Sum* parts, Sum* out) {
  __shared__ Sum found[kPartGroups][kColumnLanes];
  const std::int64_t c = blockIdx.x * std::int64_t{kColumnLanes} + threadIdx.x;
  Sum sum = 0;
  if (c < columns) {
#pragma unroll 4
    for (std::int64_t p = threadIdx.y; p < count; p += kPartGroups) sum += parts[p * columns + c];
  }
  found[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || c >= columns) return;
  sum = out[c];
  for (int g = 0; g < kPartGroups; ++g) sum += found[g][threadIdx.x];
  out[c] = sum;
}

template <class Sum>
void add_rows(cudaStream_t stream, std::int64_t rows, std::int64_t columns, const Sum* parts,
              View out) {
  const auto blocks = static_cast<unsigned>((columns + kColumnLanes - 1) / kColumnLanes);
  const dim3 threads(kColumnLanes, kPartGroups);
  add_parts<<<blocks, threads, 0, stream>>>(rows, columns, parts, static_cast<Sum*>(out.data));
  check(cudaGetLastError());
}

template <int n, class Sum, class Value>
void add_column_sums(const Queue& queue, Shape shape, View out, const Value& value) {
  constexpr std::int64_t kColumns = kColumnLanes * n;
  const std::int64_t blocks = (shape.rows + kBlockRows - 1) / kBlockRows;
  const Scratch<Sum> parts(queue, blocks * shape.columns);
  const dim3 grid(static_cast<unsigned>((shape.columns + kColumns - 1) / kColumns),
                  static_cast<unsigned>(blocks));
  sum_blocks<n><<<grid, kThreads, 0, queue>>>(shape, parts.data(), value);
  check(cudaGetLastError());
  add_rows(queue, blocks, shape.columns, parts.data(), out);
}

}  // namespace trireme::kernels
