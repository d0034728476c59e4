#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "kernels/memory_account.h"

namespace trireme::kernels {

// Where a pool gets its blocks: host memory, or a device's.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  virtual void* allocate(std::size_t bytes) = 0;  // nothing when there is no more
  virtual void free(void* data) = 0;
};

// Caches memory between uses and accounts for it. A block given back on a stream serves the next
// request of its size class on that stream at once: the stream's order keeps the two uses apart,
// although neither may have run yet. What a stream leaves behind when it goes serves any.
class CachingPool final : public Pool {
 public:
  explicit CachingPool(std::unique_ptr<MemorySource> source) : source_(std::move(source)) {}
  ~CachingPool() override;

  // Aligned to a cache line.
  void* allocate(std::size_t bytes, Stream& stream, Category category) override;
  void* try_allocate(std::size_t bytes, Stream& stream, Category category) override;
  void release(void* data, std::size_t bytes, Stream& stream, Category category) override;
  void forget(const Stream& stream) override;

  MemoryUse use() const override;
  void reset_peaks() override;

 private:
  void* cached(std::size_t size, const Stream* stream);

  std::unique_ptr<MemorySource> source_;
  mutable std::mutex mutex_;
  // By the stream that used them, nothing for one that is gone, and by size class.
  std::map<const Stream*, std::unordered_map<std::size_t, std::vector<void*>>> free_;
  std::unordered_map<void*, std::size_t> blocks_;  // size class of every block, used or not
  MemoryAccount account_;
};

}  // namespace trireme::kernels
