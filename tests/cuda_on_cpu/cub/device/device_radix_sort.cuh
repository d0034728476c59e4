#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <vector>

namespace cub {

// As much of CUB's as kernels/cuda uses: what has the same key keeps its order.
struct DeviceRadixSort {
  template <class Key, class Value>
  static cudaError_t SortPairs(void* scratch, std::size_t& scratch_bytes, const Key* keys,
                               Key* sorted_keys, const Value* values, Value* sorted_values,
                               int count, int first_bit, int end_bit, cudaStream_t stream) {
    scratch_bytes = 1;
    if (!scratch) return cudaSuccess;
    stream->queue.enqueue([=] {
      const auto key = [&](int i) {
        return (keys[i] >> first_bit) & ((std::uint64_t{1} << (end_bit - first_bit)) - 1);
      };
      std::vector<int> order(static_cast<std::size_t>(count));
      for (int i = 0; i < count; ++i) order[static_cast<std::size_t>(i)] = i;
      std::ranges::stable_sort(order, {}, key);
      for (int i = 0; i < count; ++i) {
        sorted_keys[i] = keys[order[static_cast<std::size_t>(i)]];
        sorted_values[i] = values[order[static_cast<std::size_t>(i)]];
      }
    });
    return cudaSuccess;
  }
};

}  // namespace cub
