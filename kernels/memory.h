#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/stream.h"

namespace trireme::kernels {

// What memory is used for. Every allocation says it, so that a run can say where its memory went.
enum class Category { parameters, gradients, optimizer, activations, workspace };
constexpr std::size_t kCategories = 5;

constexpr const char* name_of(Category category) {
  constexpr std::array names{"parameters", "gradients", "optimizer", "activations", "workspace"};
  return names[static_cast<std::size_t>(category)];
}

// Bytes asked for and not yet given back, now and at most since the last reset.
struct MemoryUse {
  struct Bytes {
    std::int64_t current = 0;
    std::int64_t peak = 0;
  };
  std::array<Bytes, kCategories> categories = {};
  Bytes total;
  std::int64_t reserved = 0;  // held from the system, cached blocks included

  const Bytes& of(Category category) const {
    return categories[static_cast<std::size_t>(category)];
  }
};

// Where tensors give their memory back.
class Memory {
 public:
  virtual ~Memory() = default;

  // `data` may be used again by work enqueued on `stream` from now on.
  virtual void release(void* data, std::size_t bytes, Stream& stream, Category category) = 0;
};

// Where they get it from: a device's memory, kept between uses and accounted for.
class Pool : public Memory {
 public:
  // At least `bytes` bytes, usable on `stream`. Throws DeviceError, with what is in use by
  // category, when there are no more.
  virtual void* allocate(std::size_t bytes, Stream& stream, Category category) = 0;

  // The same for memory that one can do without: nothing where `allocate` would throw, make
  // `stream` wait for another, or leave too little for what else is on the device.
  virtual void* try_allocate(std::size_t bytes, Stream& stream, Category category) = 0;

  // `stream` has done all it was given, and goes.
  virtual void forget(const Stream& /*stream*/) {}

  virtual MemoryUse use() const = 0;
  virtual void reset_peaks() = 0;
};

}  // namespace trireme::kernels
