#include "checkpoints/float_conversion.h"

#include <cstring>

namespace trireme::checkpoints {
namespace {

using kernels::Dtype;

template <class Stored>
void read(const std::byte* from, std::int64_t count, float* to) {
  for (std::int64_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, from + static_cast<std::size_t>(i) * sizeof value, sizeof value);
    to[i] = static_cast<float>(value);
  }
}

template <class Stored>
void write(std::span<const float> from, std::byte* to) {
  for (const float each : from) {
    const Stored value(each);
    std::memcpy(to, &value, sizeof value);
    to += sizeof value;
  }
}

}  // namespace

void to_floats(Dtype dtype, const std::byte* from, std::int64_t count, float* to) {
  switch (dtype) {
    case Dtype::f32: std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float)); return;
    case Dtype::f64: return read<double>(from, count, to);
    case Dtype::bf16: return read<kernels::Bf16>(from, count, to);
    case Dtype::f16: return read<kernels::F16>(from, count, to);
    case Dtype::i32: return read<std::int32_t>(from, count, to);
  }
}

void from_floats(Dtype dtype, std::span<const float> from, std::byte* to) {
  if (dtype == Dtype::bf16) return write<kernels::Bf16>(from, to);
  if (dtype == Dtype::f16) return write<kernels::F16>(from, to);
  std::memcpy(to, from.data(), from.size_bytes());
}

}  // namespace trireme::checkpoints
