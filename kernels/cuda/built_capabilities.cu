#include <cuda_runtime.h>

#include <array>

#include "kernels/cuda/capability.h"

namespace trireme::kernels {

std::span<const int> built_capabilities() {
  // nvcc's own list.
  static constexpr std::array built{__CUDA_ARCH_LIST__};
  return built;
}

}  // namespace trireme::kernels
