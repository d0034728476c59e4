#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cub/block/block_reduce.cuh>
#include <initializer_list>

#include "kernels/cuda/cuda_check.h"
#include "kernels/tensor.h"

namespace trireme::kernels {

constexpr int kThreads = 256;

__device__ inline float load(float value) { return value; }
__device__ inline float load(double value) { return static_cast<float>(value); }
__device__ inline float load(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ inline float load(__half value) { return __half2float(value); }

__device__ inline void store(float& to, float value) { to = value; }
__device__ inline void store(double& to, float value) { to = value; }
__device__ inline void store(__nv_bfloat16& to, float value) { to = __float2bfloat16_rn(value); }
__device__ inline void store(__half& to, float value) { to = __float2half_rn(value); }

// A View as a kernel sees it.
template <class T>
struct Rows {
  T* data = nullptr;
  std::int64_t stride = 0;

  __device__ T* operator[](std::int64_t r) const { return data + r * stride; }
};

template <class T>
Rows<T> rows_of(const View& view) {
  return {static_cast<T*>(view.data), view.stride};
}

// Calls `body.template operator()<T>()` with the type that `dtype` is stored in.
template <class Body>
void dispatch(Dtype dtype, const Body& body) {
  switch (dtype) {
    case Dtype::f32: return body.template operator()<float>();
    case Dtype::bf16: return body.template operator()<__nv_bfloat16>();
    case Dtype::f16: return body.template operator()<__half>();
    case Dtype::f64:
    case Dtype::i32: expects(false, "an activation dtype of the CUDA backend: fp32, bf16 or fp16");
  }
}

// One thread per element. A block has a part of a row, or several short rows: a division for each
// element would cost more than reading it.
template <class Body>
__global__ void run_elements(std::int64_t rows, std::int64_t columns, Body body) {
  const std::int64_t row_step = static_cast<std::int64_t>(gridDim.y) * blockDim.y;
  const std::int64_t column_step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t r = blockIdx.y * static_cast<std::int64_t>(blockDim.y) + threadIdx.y; r < rows;
       r += row_step) {
    for (std::int64_t c = blockIdx.x * static_cast<std::int64_t>(blockDim.x) + threadIdx.x;
         c < columns; c += column_step) {
      body(r, c);
    }
  }
}

template <class Body>
void each_element(cudaStream_t stream, Shape shape, const Body& body) {
  if (shape.size() == 0) return;
  unsigned wide = 32;  // threads along a row
  while (wide < kThreads && wide < shape.columns) wide *= 2;
  const dim3 block(wide, kThreads / wide);
  const auto blocks = [](std::int64_t count, unsigned size, std::int64_t most) {
    const std::int64_t needed = (count + size - 1) / size;
    return static_cast<unsigned>(needed < most ? needed : most);
  };
  const dim3 grid(blocks(shape.columns, block.x, 65536), blocks(shape.rows, block.y, 16384));
  run_elements<<<grid, block, 0, stream>>>(shape.rows, shape.columns, body);
  check(cudaGetLastError());
}

// Neighbors in a row, read and written at once, or 16 bytes at a time.
template <class T, int n>
struct alignas(sizeof(T) * n < 16 ? sizeof(T) * n : 16) Pack {
  T values[n];
};
template <int n>
struct Numbers {
  float values[n];

  __device__ float& operator[](int i) { return values[i]; }
  __device__ float operator[](int i) const { return values[i]; }
};
template <int n, class T>
__device__ Numbers<n> read(const T* from) {
  const auto pack = *reinterpret_cast<const Pack<T, n>*>(from);
  Numbers<n> numbers;
  for (int i = 0; i < n; ++i) numbers[i] = load(pack.values[i]);
  return numbers;
}
template <int n, class T>
__device__ void write(T* to, const Numbers<n>& numbers) {
  Pack<T, n> pack;
  for (int i = 0; i < n; ++i) store(pack.values[i], numbers[i]);
  *reinterpret_cast<Pack<T, n>*>(to) = pack;
}

// What a number is once it has been stored.
template <class T>
__device__ float rounded(float value) {
  T stored;
  store(stored, value);
  return load(stored);
}

// Whether all of these that exist begin at a multiple of 16 bytes.
inline bool begin_aligned(std::initializer_list<View> views) {
  bool all = true;
  for (const View& view : views) {
    all = all && reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0;
  }
  return all;
}

// Whether these, of type T or a narrower one and with as many columns each, can be read 16 bytes of
// T's at a time. Those that do not exist do not matter.
template <class T>
bool in_packs(std::initializer_list<View> views) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  bool fits = views.begin()->columns % kWide == 0 && begin_aligned(views);
  for (const View& view : views) fits = fits && (!view || view.stride % kWide == 0);
  return fits;
}

// One thread per 16 bytes of numbers of type T if they come `in_packs`, otherwise one per element:
// body.template run<n>(row, column).
template <class T, class Body>
void each_pack_of(cudaStream_t stream, Shape shape, bool in_packs, const Body& body) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  if (in_packs) {
    each_element(
        stream, {shape.rows, shape.columns / kWide},
        [=] __device__(std::int64_t r, std::int64_t c) { body.template run<kWide>(r, c * kWide); });
  } else {
    each_element(stream, shape,
                 [=] __device__(std::int64_t r, std::int64_t c) { body.template run<1>(r, c); });
  }
}

// The same for `views` of one shape and type T, or a narrower one. Rows without gaps between them
// are one long row.
template <class T, class Body>
void each_pack(cudaStream_t stream, std::initializer_list<View> views, const Body& body) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  const Shape shape = views.begin()->shape();
  bool flat = true;
  for (const View& view : views) flat = flat && (!view || view.contiguous());
  if (!flat) return each_pack_of<T>(stream, shape, in_packs<T>(views), body);
  const bool packed = shape.size() % kWide == 0 && begin_aligned(views);
  each_pack_of<T>(stream, {1, shape.size()}, packed, body);
}

// A block's threads share the elements of a row from `first` up to `end`, n at a time:
// use(column, number), which returns the number to put in its place if `writes`.
template <bool writes, int n, class T, class Use>
__device__ void share_packs(T* row, std::int64_t first, std::int64_t end, const Use& use) {
  for (std::int64_t c = first + std::int64_t{threadIdx.x} * n; c < end;
       c += std::int64_t{kThreads} * n) {
    auto numbers = read<n>(row + c);
    for (int i = 0; i < n; ++i) {
      if constexpr (writes) {
        numbers[i] = use(c + i, numbers[i]);
      } else {
        use(c + i, numbers[i]);
      }
    }
    if constexpr (writes) write<n>(row + c, numbers);
  }
}

// All of them: 16 bytes at a time as far as it can be.
template <bool writes, class T, class Use>
__device__ void share_row(T* row, std::int64_t columns, const Use& use) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  const bool aligned = reinterpret_cast<std::uintptr_t>(row) % 16 == 0;
  const std::int64_t in_packs = aligned ? columns / kWide * kWide : 0;
  share_packs<writes, kWide>(row, 0, in_packs, use);
  share_packs<writes, 1>(row, in_packs, columns, use);
}

// Every thread of a warp gets the same sum.
__device__ inline float warp_sum(float value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}

// One block per row; every thread gets the same sum.
__device__ inline float block_sum(float value) {
  using Reduce = cub::BlockReduce<float, kThreads>;
  __shared__ typename Reduce::TempStorage scratch;
  __shared__ float total;
  __syncthreads();  // the last use of the shared memory is over
  const float sum = Reduce(scratch).Sum(value);
  if (threadIdx.x == 0) total = sum;
  __syncthreads();
  return total;
}

}  // namespace trireme::kernels
