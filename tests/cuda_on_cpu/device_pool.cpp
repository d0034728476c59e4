#include "kernels/cuda/device_pool.h"

#include <cuda_runtime.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "kernels/arena_pool.h"
#include "kernels/caching_pool.h"

// There in programs made with the address sanitizer.
extern "C" void __asan_poison_memory_region(void const volatile* address, std::size_t bytes)
    __attribute__((weak));

namespace trireme::kernels {
namespace {

class MappedRegion final : public MemoryRegion {
 public:
  MappedRegion()
      : begin_(static_cast<std::byte*>(mmap(nullptr, kCapacity, PROT_NONE,
                                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  ~MappedRegion() override { munmap(begin_, kCapacity); }

  std::byte* begin() const override { return begin_; }
  std::size_t usable() const override { return usable_; }
  bool grow_to(std::size_t bytes, std::size_t) override {
    if (bytes > kCapacity) return false;
    if (bytes <= usable_) return true;
    const std::size_t before = usable_;
    usable_ = (bytes + kPage - 1) / kPage * kPage;
    if (mprotect(begin_, usable_, PROT_READ | PROT_WRITE) != 0) return false;
    // Not zero, as memory of a GPU is not.
    std::memset(begin_ + before, 0xff, usable_ - before);
    return true;
  }

 private:
  static constexpr std::size_t kCapacity = std::size_t{64} << 30, kPage = 4096;

  std::byte* begin_;
  std::size_t usable_ = 0;
};

class BlockMemory final : public MemorySource {
 public:
  void* allocate(std::size_t bytes) override {
    return std::aligned_alloc(512, (bytes + 511) / 512 * 512);
  }
  void free(void* data) override { std::free(data); }
};

}  // namespace

// The sanitizer sees what goes beyond a block that has memory of its own.
std::unique_ptr<Pool> make_device_pool(int) {
  if (__asan_poison_memory_region != nullptr) {
    return std::make_unique<CachingPool>(std::make_unique<BlockMemory>());
  }
  return std::make_unique<ArenaPool>(std::make_unique<MappedRegion>());
}

}  // namespace trireme::kernels
