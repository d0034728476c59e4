#include "kernels/cpu/host_memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

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

std::shared_ptr<std::byte[]> make_host_memory(std::size_t bytes) {
  void* data = HostMemory().allocate(bytes);
  if (!data && bytes > 0) throw std::bad_alloc();
  return {static_cast<std::byte*>(data), [](std::byte* memory) { std::free(memory); }};
}

}  // namespace trireme::kernels
