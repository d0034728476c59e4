#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <source_location>
#include <string>

#include "kernels/check.h"

namespace trireme::kernels {

// Throw DeviceError on any status but success. No macro: the call site is known.
inline void check(cudaError_t status,
                  std::source_location where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // who catches this and goes another way is not to find it again
  throw DeviceError(std::string(where.file_name()) + ":" + std::to_string(where.line()) +
                    ": CUDA: " + cudaGetErrorString(status));
}

inline void check(cublasStatus_t status,
                  std::source_location where = std::source_location::current()) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(std::string(where.file_name()) + ":" + std::to_string(where.line()) +
                    ": cuBLAS: " + cublasLtGetStatusString(status));
}

}  // namespace trireme::kernels
