#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace trireme::checkpoints {

// What disks and their controllers work in.
inline constexpr std::size_t kDiskBlock = 4096;

// Memory that a disk can read and write without the system's copy of it. Nothing is in it yet.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes)
      : data_(static_cast<std::byte*>(
            std::aligned_alloc(kDiskBlock, (bytes + kDiskBlock - 1) / kDiskBlock * kDiskBlock))),
        size_(bytes) {
    if (!data_ && bytes > 0) throw std::bad_alloc();
  }

  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t size_ = 0;
};

}  // namespace trireme::checkpoints
