#include "kernels/cpu/host_memory.h"

#include <sys/mman.h>

#include <cstdlib>

namespace trireme::kernels {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

void* HostMemory::allocate(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
  void* data = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  // First touch of 4 KiB pages is an order of magnitude slower.
  if (data && bytes >= kHugePage) madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

void HostMemory::free(void* data) { std::free(data); }

}  // namespace trireme::kernels
