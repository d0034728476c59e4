#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace trireme::kernels {

// Whether every row begins at a multiple of 16 bytes.
inline bool is_aligned(const View& view) {
  return reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0 &&
         view.stride * static_cast<std::int64_t>(size_of(view.dtype)) % 16 == 0;
}

}  // namespace trireme::kernels
