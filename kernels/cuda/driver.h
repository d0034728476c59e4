#pragma once

#include <cuda.h>

#include <string>

#include "kernels/cuda/cuda_check.h"

namespace trireme::kernels {

// A function of the driver's own, asked for by name: the module is not linked with the driver, so
// that it can be loaded, and say so, where there is none. `Function` is its type in cuda.h.
template <class Function>
Function driver_function(const char* name) {
  constexpr unsigned kVersion = 12000;  // whose signatures are used
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  check(cudaGetDriverEntryPointByVersion(name, &found, kVersion, cudaEnableDefault, &result));
  if (result != cudaDriverEntryPointSuccess) {
    throw DeviceError(std::string("this CUDA driver has no ") + name);
  }
  return reinterpret_cast<Function>(found);
}

inline void check_driver(CUresult result, const char* name) {
  if (result == CUDA_SUCCESS) return;
  throw DeviceError(std::string(name) + " failed with code " +
                    std::to_string(static_cast<int>(result)));
}

}  // namespace trireme::kernels
