#include "kernels/cpu/scratch_memory.h"

#include <cstdlib>
#include <string>

#include "kernels/check.h"

namespace trireme::kernels {

void* allocate_scratch(std::size_t bytes) {
  constexpr std::size_t kCacheLine = 64;
  void* data = std::aligned_alloc(kCacheLine, (bytes + 2 * kCacheLine - 1) / kCacheLine * kCacheLine);
  if (!data) {
    throw DeviceError("out of host memory: " + std::to_string(bytes) + " bytes of an operation's scratch space");
  }
  return data;
}

}  // namespace trireme::kernels
