#include "kernels/cuda/capability.h"

#include <algorithm>

namespace trireme::kernels {

bool runs_on(int device, std::span<const int> built) {
  const auto has_binary = [&](int capability) {
    return capability / 100 == device / 100 && capability <= device;
  };
  return std::ranges::any_of(built, has_binary) || (!built.empty() && built.back() <= device);
}

std::string capability_text(int capability) {
  return std::to_string(capability / 100) + "." + std::to_string(capability % 100 / 10);
}

CycleFlops flops_of_a_cycle(int capability) {
  // The first of each generation is the one for computing centers.
  if (capability == 800) return {.tensor = 2048, .fp32 = 128};
  const int generation = capability / 100;
  if (generation == 9) return {.tensor = 4096, .fp32 = 256};
  if (generation == 10) return {.tensor = 8192, .fp32 = 256};
  return {.tensor = 1024, .fp32 = 256};
}

}  // namespace trireme::kernels
