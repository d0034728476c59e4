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
  // At least so many bytes can be used from now on, or false: there is no more memory, or no more
  // than `spare` bytes for others. Waits for no stream.
  virtual bool grow_to(std::size_t bytes, std::size_t spare) = 0;
};

// All memory of a device in one region, which grows when no gap is large enough: hardly ever
// in a step like one before. A block is taken from the lowest gap that has room for it, so gaps do
// not scatter: a training step reserves a few percent more than it uses at its peak. What is given
// back on a stream serves that stream at once: its order keeps the two uses apart, although neither
// may have run yet. Another stream gets it when there is no other memory left, and waits, on the
// device, for what the first one had been given when it gave the memory back: not for what came
// later, which may itself wait for messages that other ranks send only when this one goes on.
class ArenaPool final : public Pool {
 public:
  explicit ArenaPool(std::unique_ptr<MemoryRegion> region) : region_(std::move(region)) {}

  // Aligned to 512 bytes.
  void* allocate(std::size_t bytes, Stream& stream, Category category) override;
  void* try_allocate(std::size_t bytes, Stream& stream, Category category) override;
  void release(void* data, std::size_t bytes, Stream& stream, Category category) override;
  void forget(const Stream& stream) override;

  MemoryUse use() const override;
  void reset_peaks() override;

 private:
  struct Gap {
    std::size_t size;
    Stream* last = nullptr;             // that used it; nothing: no work is left that does
    std::shared_ptr<const Event> done;  // when it had done so; nothing: ask `last`, which is home_
  };
  using Gaps = std::map<std::size_t, Gap>;  // by offset

  // Memory for `size` bytes; nothing if there is none that no other stream may use.
  std::byte* place(std::size_t size, Stream& stream, std::size_t spare);
  std::byte* take(Gaps::iterator gap, std::size_t size);
  std::byte* extend(std::size_t size, Stream& stream, std::size_t spare);
  std::byte* take_from_others(std::size_t size, Stream& stream);
  std::byte* take_run(Gaps::iterator first, Gaps::iterator last, std::size_t size, Stream& stream);
  std::shared_ptr<const Event> mark(Stream& stream) const;
  void add_gap(std::size_t offset, Gap gap);
  void join_unused();
  void account(std::size_t bytes, Category category);

  std::unique_ptr<MemoryRegion> region_;
  mutable std::mutex mutex_;
  Gaps gaps_;
  std::size_t end_ = 0;  // of what has ever been handed out
  // The one that computes and has nearly all memory: the first to ask. It is given work in the
  // order of the program, so that whoever waits for all of it waits for nothing that is yet to
  // come, and what it gives back needs no event each.
  Stream* home_ = nullptr;
  MemoryAccount account_;
};

}  // namespace trireme::kernels
