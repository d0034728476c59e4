#pragma once

#include <cublasLt.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "kernels/memory.h"
#include "kernels/ops.h"

namespace trireme::kernels {

// Matrix products by cuBLASLt, sums in f32 (never TF32). An algorithm is chosen once per kind of
// product: the library's own first choice, the same in every run, or the fastest of its choices
// when they are tried. Its workspace is made once per stream.
class CudaMatmul {
 public:
  // `pool` has to outlive it.
  explicit CudaMatmul(Pool& pool);
  ~CudaMatmul();
  CudaMatmul(const CudaMatmul&) = delete;
  CudaMatmul& operator=(const CudaMatmul&) = delete;

  void launch(Stream& stream, const Matmul& op);

  // How many algorithms are tried for products that come from now on: see Backend::try_ways.
  void try_algorithms(int most);

 private:
  // An operand as far as the choice of an algorithm depends on it.
  struct Operand {
    std::int64_t rows = 0, columns = 0, stride = 0;
    Dtype dtype = Dtype::f32;
    std::uint32_t alignment = 0;  // bytes

    auto operator<=>(const Operand&) const = default;
  };
  struct Kind {
    Operand a, b, out;
    bool transpose_a = false, transpose_b = false;
    std::uint32_t bias_alignment = 0;  // bytes; 0 without one

    auto operator<=>(const Kind&) const = default;
  };
  struct Plan;

  static Operand operand_of(const View& view);
  static Kind kind_of(const Matmul& op);
  Plan& plan_for(Stream& stream, const Matmul& op);
  void choose(Stream& stream, const Matmul& op, Plan& plan);
  // Milliseconds of one product, into `out`; nothing if the algorithm cannot do it.
  std::optional<float> time(cudaStream_t stream, const Matmul& op, const Plan& plan, void* out);
  cublasStatus_t multiply(cudaStream_t stream, const Matmul& op, const Plan& plan, void* out);
  std::byte* workspace_of(cudaStream_t stream);
  void launch_aligned(Stream& stream, const Matmul& op);

  Pool& pool_;
  cublasLtHandle_t handle_ = nullptr;
  std::mutex mutex_;
  int tries_ = 0;  // algorithms
  std::map<Kind, std::unique_ptr<Plan>> plans_;
  std::map<cudaStream_t, std::byte*> workspaces_;
};

}  // namespace trireme::kernels
