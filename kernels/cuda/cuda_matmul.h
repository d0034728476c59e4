#pragma once

#include <cublasLt.h>

#include "kernels/ops.h"

namespace trireme::kernels {

// Matrix products by cuBLASLt, sums in f32 (never TF32).
class CudaMatmul {
 public:
  CudaMatmul();
  ~CudaMatmul();
  CudaMatmul(const CudaMatmul&) = delete;
  CudaMatmul& operator=(const CudaMatmul&) = delete;

  void launch(cudaStream_t stream, const Matmul& op);

 private:
  cublasLtHandle_t handle_ = nullptr;
};

}  // namespace trireme::kernels
