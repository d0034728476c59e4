#include "kernels/cpu/host_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace trireme::kernels {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kCopyBlock = std::size_t{1} << 20;

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

void copy_host_memory(std::span<const std::byte> from, std::byte* to) {
  const std::size_t blocks = (from.size() + kCopyBlock - 1) / kCopyBlock;
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t at = i * kCopyBlock;
    std::memcpy(to + at, from.data() + at, std::min(kCopyBlock, from.size() - at));
  }
}

}  // namespace trireme::kernels
