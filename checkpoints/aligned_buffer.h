#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <new>

namespace trireme::checkpoints {

// What disks and their controllers work in.
inline constexpr std::size_t kDiskBlock = 4096;

struct Unmap {
  std::size_t bytes = 0;
  void operator()(std::byte* memory) const { ::munmap(memory, bytes); }
};

// Memory that a disk can read and write without the system's copy of it, and that the system has
// back as soon as it is freed. Zero at first.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes) {
    if (bytes == 0) return;
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    data_ = {static_cast<std::byte*>(memory), {bytes}};
  }

  std::byte* data() const { return data_.get(); }
  std::size_t size() const { return data_.get_deleter().bytes; }

 private:
  std::unique_ptr<std::byte[], Unmap> data_;
};

}  // namespace trireme::checkpoints
