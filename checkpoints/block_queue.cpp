#include "checkpoints/block_queue.h"

#include <utility>

namespace trireme::checkpoints {

BlockQueue::BlockQueue(std::size_t block_bytes, Use use)
    : block_bytes_(block_bytes),
      use_(std::move(use)),
      memory_(kBlocks * block_bytes),
      worker_([this] { work(); }) {}

BlockQueue::~BlockQueue() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

std::span<std::byte> BlockQueue::block() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return failure_ || pushed_ - used_ < kBlocks; });
  if (failure_) std::rethrow_exception(failure_);
  return {memory(pushed_), block_bytes_};
}

void BlockQueue::push(std::size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    bytes_[pushed_++ % kBlocks] = bytes;
  }
  changed_.notify_all();
}

void BlockQueue::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return failure_ || used_ == pushed_; });
  if (failure_) std::rethrow_exception(failure_);
}

void BlockQueue::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || used_ < pushed_; });
    if (ending_) return;
    const std::span<const std::byte> block(memory(used_), bytes_[used_ % kBlocks]);
    lock.unlock();
    std::exception_ptr failure;
    try {
      use_(block);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) {
      failure_ = failure;
      changed_.notify_all();
      return;
    }
    ++used_;
    changed_.notify_all();
  }
}

}  // namespace trireme::checkpoints
