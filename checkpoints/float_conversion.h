#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/dtype.h"

namespace trireme::checkpoints {

// Values as a file has them, little-endian and at any address, to fp32 and back. To a narrower type
// they are rounded to the nearest. Back to fp32, bf16 or fp16 only.
void to_floats(kernels::Dtype dtype, const std::byte* from, std::int64_t count, float* to);
void from_floats(kernels::Dtype dtype, std::span<const float> from, std::byte* to);

}  // namespace trireme::checkpoints
