#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>

#include "checkpoints/aligned_buffer.h"

namespace trireme::checkpoints {

// A few blocks of memory that one thread fills and another uses, in order. Enough of them that the
// second one finds the next block ready when it is done with one, whatever the scheduler does.
class BlockQueue {
 public:
  using Use = std::function<void(std::span<const std::byte>)>;

  BlockQueue(std::size_t block_bytes, Use use);
  BlockQueue(const BlockQueue&) = delete;
  BlockQueue& operator=(const BlockQueue&) = delete;
  // Waits for the block that is being used; the others are lost.
  ~BlockQueue();

  // All bytes of the block to fill, always the same one until push. Waits for one, and throws what
  // `use` threw.
  std::span<std::byte> block();
  // The first `bytes` of that block are to be used.
  void push(std::size_t bytes);
  // Waits until all were used, or throws what `use` threw.
  void finish();

 private:
  static constexpr std::size_t kBlocks = 4;

  void work();
  std::byte* memory(std::size_t number) const {
    return memory_.data() + number % kBlocks * block_bytes_;
  }

  std::size_t block_bytes_;
  Use use_;
  AlignedBuffer memory_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t pushed_ = 0, used_ = 0;  // blocks since the beginning
  std::size_t bytes_[kBlocks] = {};
  std::exception_ptr failure_;
  bool ending_ = false;
  std::thread worker_;
};

}  // namespace trireme::checkpoints
