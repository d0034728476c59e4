#pragma once

#include <initializer_list>

#include "kernels/cuda/device_numbers.cuh"

// What the norms' two directions share.
namespace trireme::kernels {

// The columns of a row that one of the `width` threads that share it holds in registers, in packs
// of n: a warp's threads share a short row, a block's a long one.
template <int n, int packs, int width>
struct Held {
  static constexpr int kPack = n;
  static constexpr int kRows = kThreads / width;  // that a block has at a time
  static constexpr int kColumns = n * packs * width;

  Numbers<n> pack[packs] = {};

  // Of the rows that the block has at a time, which one this thread helps with.
  __device__ static int row() { return static_cast<int>(threadIdx.x) / width; }
  __device__ static bool is_first() { return threadIdx.x % width == 0; }

  // visit(column, pack) for those there are.
  template <class Visit>
  __device__ static void each(std::int64_t columns, const Visit& visit) {
#pragma unroll
    for (int p = 0; p < packs; ++p) {
      const std::int64_t c = (p * width + static_cast<int>(threadIdx.x) % width) * n;
      if (c < columns) visit(c, p);
    }
  }

  // Every thread gets the sum of those that share its row.
  __device__ static float sum(float value) {
    if constexpr (width == kThreads) {
      return block_sum(value);
    } else {
      return warp_sum(value);
    }
  }
};

constexpr int kWarpThreads = 32;

// Calls launch.template operator()<Held>() for rows that threads can hold, no more than `most`
// numbers each; false if they cannot.
template <class T, int most, class Launch>
bool launch_held(std::int64_t columns, std::initializer_list<View> views, const Launch& launch) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  const bool packed = in_packs<T>(views);
  const std::int64_t share = (columns + kThreads - 1) / kThreads;  // numbers of a thread
  if (!packed && share <= 8) return launch.template operator()<Held<1, 8, kThreads>>(), true;
  if (!packed || share > most) return false;
  using Short = Held<kWide, 1, kWarpThreads>;
  using TwiceAsLong = Held<kWide, 2, kWarpThreads>;
  if (columns <= Short::kColumns) return launch.template operator()<Short>(), true;
  if (columns <= TwiceAsLong::kColumns) return launch.template operator()<TwiceAsLong>(), true;
  if (share <= kWide / 2) return launch.template operator()<Held<kWide / 2, 1, kThreads>>(), true;
  if (share <= kWide) return launch.template operator()<Held<kWide, 1, kThreads>>(), true;
  if (share <= 2 * kWide) return launch.template operator()<Held<kWide, 2, kThreads>>(), true;
  if (share <= 4 * kWide) return launch.template operator()<Held<kWide, 4, kThreads>>(), true;
  if constexpr (8 * kWide <= most) {
    if (share <= 8 * kWide) return launch.template operator()<Held<kWide, 8, kThreads>>(), true;
  }
  return false;
}

}  // namespace trireme::kernels
