#pragma once

#include <cuda_runtime.h>

namespace cub {

// As much of CUB's as kernels/cuda uses: the result is the first thread's.
template <class T, int threads>
class BlockReduce {
 public:
  struct TempStorage {
    T values[threads];
  };

  explicit BlockReduce(TempStorage& storage) : storage_(storage) {}

  T Sum(T value) {
    return Reduce(value, [](T a, T b) { return a + b; });
  }

  template <class Operation>
  T Reduce(T value, const Operation& operation) {
    storage_.values[threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int i = 1; i < threads; ++i) value = operation(value, storage_.values[i]);
    }
    return value;
  }

 private:
  TempStorage& storage_;
};

}  // namespace cub
