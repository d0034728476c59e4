#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace trireme::kernels {

// f64 exists to prove gradients with; models train in the others.
enum class Dtype { f32, f64, bf16, f16, i32 };

constexpr std::size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64: return 8;
    case Dtype::bf16:
    case Dtype::f16: return 2;
    case Dtype::f32:
    case Dtype::i32: return 4;
  }
  return 0;
}

constexpr const char* name_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32: return "fp32";
    case Dtype::f64: return "fp64";
    case Dtype::bf16: return "bf16";
    case Dtype::f16: return "fp16";
    case Dtype::i32: return "int32";
  }
  return "";
}

// What sums and main gradients of a dtype are kept in.
constexpr Dtype accumulator_of(Dtype dtype) {
  return dtype == Dtype::f64 ? Dtype::f64 : Dtype::f32;
}

// Storage only: arithmetic is done in float.
struct Bf16 {
  std::uint16_t bits;

  Bf16() = default;
  explicit Bf16(float value) {
    const auto raw = std::bit_cast<std::uint32_t>(value);
    // Round to nearest, ties to even; NaN stays NaN instead of rounding up to infinity.
    const std::uint32_t rounded = (raw + 0x7fffu + ((raw >> 16) & 1u)) >> 16;
    const bool nan = (raw & 0x7fffffffu) > 0x7f800000u;
    bits = static_cast<std::uint16_t>(nan ? (raw >> 16) | 0x40u : rounded);
  }
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

// IEEE binary16, storage only. Bit arithmetic, so that the same bits come out on every machine.
struct F16 {
  std::uint16_t bits;

  F16() = default;
  explicit F16(float value) {
    const auto raw = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (raw >> 16) & 0x8000u;
    const std::uint32_t magnitude = raw & 0x7fffffffu;
    std::uint32_t half = 0;
    if (magnitude > 0x7f800000u) {
      half = 0x7e00u;
    } else if (magnitude >= 0x477ff000u) {
      half = 0x7c00u;  // rounds to infinity
    } else if (magnitude < 0x38800000u) {
      // Subnormal: the float addition rounds to nearest even at the right bit.
      const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      half = std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u;
    } else {
      half = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    }
    bits = static_cast<std::uint16_t>(sign | half);
  }
  explicit operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t magnitude = static_cast<std::uint32_t>(bits & 0x7fffu) << 13;
    const std::uint32_t special = magnitude >= 0x0f800000u ? 0x70000000u : 0u;
    // Multiplying by 2^112 moves the exponent and makes subnormals normal.
    const float scaled = std::bit_cast<float>(magnitude) * std::bit_cast<float>(0x77800000u);
    const std::uint32_t finite = std::bit_cast<std::uint32_t>(scaled);
    return std::bit_cast<float>(sign | (special ? magnitude | special : finite));
  }
};

}  // namespace trireme::kernels
