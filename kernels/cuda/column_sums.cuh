#pragma once

#include "kernels/cuda/device_numbers.cuh"

namespace trireme::kernels {

// Column sums are made in blocks of this many rows, and the blocks added in order.
constexpr int kBlockRows = 128;

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

template <class Sum>
void add_rows(cudaStream_t stream, std::int64_t rows, std::int64_t columns, const Sum* parts,
              View out) {
  const auto wide = static_cast<unsigned>((columns + kThreads - 1) / kThreads);
  add_blocks<<<wide, kThreads, 0, stream>>>(rows, columns, parts, static_cast<Sum*>(out.data));
  check(cudaGetLastError());
}

template <class Sum, class Value>
void add_column_sums(cudaStream_t stream, Shape shape, View out, const Value& value) {
  const std::int64_t blocks = (shape.rows + kBlockRows - 1) / kBlockRows;
  const DeviceScratch<Sum> parts(stream, blocks * shape.columns);
  const auto wide = static_cast<unsigned>((shape.columns + kThreads - 1) / kThreads);
  sum_blocks<<<dim3(wide, static_cast<unsigned>(blocks)), kThreads, 0, stream>>>(
      shape.rows, shape.columns, parts.data(), value);
  check(cudaGetLastError());
  add_rows(stream, blocks, shape.columns, parts.data(), out);
}

}  // namespace trireme::kernels
