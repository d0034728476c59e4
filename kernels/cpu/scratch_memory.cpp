#include "kernels/cpu/scratch_memory.h"

#include <sys/mman.h>

#include <bit>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "kernels/check.h"

namespace trireme::kernels {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t size_class(std::size_t bytes) { return std::bit_ceil(bytes < 4096 ? 4096 : bytes); }

// The blocks one thread has given back, by size class.
class FreeBlocks {
 public:
  FreeBlocks() = default;
  FreeBlocks(const FreeBlocks&) = delete;
  FreeBlocks& operator=(const FreeBlocks&) = delete;
  ~FreeBlocks() {
    for (const auto& [size, blocks] : blocks_) {
      for (void* block : blocks) std::free(block);
    }
  }

  void* take(std::size_t size) {
    auto& blocks = blocks_[size];
    if (blocks.empty()) return nullptr;
    void* block = blocks.back();
    blocks.pop_back();
    return block;
  }

  void give(void* block, std::size_t size) { blocks_[size].push_back(block); }

 private:
  std::map<std::size_t, std::vector<void*>> blocks_;
};

FreeBlocks& free_blocks() {
  thread_local FreeBlocks blocks;
  return blocks;
}

}  // namespace

void* take_scratch(std::size_t bytes) {
  const std::size_t size = size_class(bytes);
  if (void* kept = free_blocks().take(size)) return kept;
  const std::size_t alignment = size < kHugePage ? 4096 : kHugePage;
  void* data = std::aligned_alloc(alignment, size);
  if (!data) {
    throw DeviceError("out of host memory: " + std::to_string(bytes) +
                      " bytes of an operation's scratch space");
  }
  if (size >= kHugePage) madvise(data, size, MADV_HUGEPAGE);
  return data;
}

void give_scratch(void* data, std::size_t bytes) { free_blocks().give(data, size_class(bytes)); }

}  // namespace trireme::kernels
