#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "kernels/memory_account.h"

namespace trireme::kernels {

// A range of device addresses of which a growing part, from its beginning, can be used.
class MemoryRegion {
 public:
  MemoryRegion() = default;
  MemoryRegion(const MemoryRegion&) = delete;
  MemoryRegion& operator=(const MemoryRegion&) = delete;
  virtual ~MemoryRegion() = default;

  virtual std::byte* begin() const = 0;
  virtual std::size_t usable() const = 0;  // bytes
  // At least so many bytes can be used from now on, or false: there is no more memory. Waits for no
  // stream.
  virtual bool grow_to(std::size_t bytes) = 0;
  // Blocks until every stream of the device has done what it has been given.
  virtual void finish_all_work() = 0;
};

// All memory of a device in one region, which grows when no gap is large enough: hardly ever
// in a step like one before. A block is taken from the lowest gap that has room for it, so gaps do
// not scatter: a training step reserves a few percent more than it uses at its peak. What is given
// back on a stream serves that stream at once: its order keeps the two uses apart, although neither
// may have run yet. Other streams get it when there is no other memory left, after all work is
// done.
class ArenaPool final : public Pool {
 public:
  explicit ArenaPool(std::unique_ptr<MemoryRegion> region) : region_(std::move(region)) {}

  // Aligned to 512 bytes.
  void* allocate(std::size_t bytes, Stream& stream, Category category) override;
  void release(void* data, std::size_t bytes, Stream& stream, Category category) override;

  MemoryUse use() const override;
  void reset_peaks() override;

 private:
  struct Gap {
    std::size_t size;
    const Stream* last;  // that used it; nothing: no work is left that does
  };
  using Gaps = std::map<std::size_t, Gap>;  // by offset

  // Memory for `size` bytes; nothing if there is none.
  std::byte* place(std::size_t size, const Stream& stream);
  std::byte* take(Gaps::iterator gap, std::size_t size);
  std::byte* extend(std::size_t size, const Stream& stream);
  void add_gap(std::size_t offset, Gap gap);
  bool others_have_gaps(const Stream& stream) const;
  void forget_streams();

  std::unique_ptr<MemoryRegion> region_;
  mutable std::mutex mutex_;
  Gaps gaps_;
  std::size_t end_ = 0;  // of what has ever been handed out
  MemoryAccount account_;
};

}  // namespace trireme::kernels
