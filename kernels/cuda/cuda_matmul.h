#pragma once

#include <cublasLt.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "kernels/cuda/queue.h"
#include "kernels/ops.h"

namespace trireme::kernels {

// Matrix products by cuBLASLt, sums in f32 (never TF32). An algorithm is chosen once per kind of
// product: the library's own first choice, the same in every run, or the fastest of its choices
// when they are tried. What it works with is taken for its length.
class CudaMatmul {
 public:
  CudaMatmul();
  ~CudaMatmul();
  CudaMatmul(const CudaMatmul&) = delete;
  CudaMatmul& operator=(const CudaMatmul&) = delete;

  void launch(const Queue& queue, const Matmul& op);

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
  struct Space {
    void* out;
    void* workspace;  // as much as the plan's algorithm asks for
  };

  static Operand operand_of(const View& view);
  static Kind kind_of(const Matmul& op);
  Plan& plan_for(const Queue& queue, const Matmul& op);
  void choose(const Queue& queue, const Matmul& op, Plan& plan);
  // Milliseconds of one product, into `out`; nothing if the algorithm cannot do it, or not in the
  // memory there is.
  std::optional<float> time(const Queue& queue, const Matmul& op, const Plan& plan, void* out);
  cublasStatus_t multiply(cudaStream_t stream, const Matmul& op, const Plan& plan,
                          const Space& space);
  void launch_aligned(const Queue& queue, const Matmul& op);

  cublasLtHandle_t handle_ = nullptr;
  std::mutex mutex_;
  int tries_ = 0;  // algorithms
  std::map<Kind, std::unique_ptr<Plan>> plans_;
};

}  // namespace trireme::kernels
