#pragma once

#include <cstdint>
#include <string>

#include "kernels/memory.h"

namespace trireme::kernels {

// Adds up what is in use, for the pools.
class MemoryAccount {
 public:
  // `bytes` more are in use, or fewer.
  void add(Category category, std::int64_t bytes);
  void set_reserved(std::int64_t bytes) { use_.reserved = bytes; }
  void reset_peaks();

  const MemoryUse& use() const { return use_; }

  // "out of memory: ...", with what is in use by category.
  std::string shortage(std::size_t bytes) const;

 private:
  MemoryUse use_;
};

}  // namespace trireme::kernels
