#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/scratch_memory.h"
#include "kernels/tensor.h"

namespace trireme::kernels::VECTOR_NAMESPACE {

// What arithmetic on a stored type is done in.
template <class Stored>
using Real = std::conditional_t<std::is_same_v<Stored, double>, double, float>;

template <class Stored>
inline Real<Stored> load(const Stored& stored) {
  return static_cast<Real<Stored>>(stored);
}

template <class Stored>
inline void store(Stored& stored, Real<Stored> value) {
  stored = static_cast<Stored>(value);
}

template <class Stored>
inline Stored* row(const View& matrix, std::int64_t r) {
  return static_cast<Stored*>(matrix.data) + r * matrix.stride;
}

// Calls `body` with a value of the C++ type that `dtype` is stored in.
template <class Body>
inline void dispatch(Dtype dtype, const Body& body) {
  switch (dtype) {
    case Dtype::f32: return body(float{});
    case Dtype::f64: return body(double{});
    case Dtype::bf16: return body(Bf16{});
    case Dtype::f16: return body(F16{});
    case Dtype::i32: break;  // no operation computes on integers
  }
}

inline double exponential(double x) { return std::exp(x); }

// e^x to about one unit in the last place; below -87 it gives 1e-38 instead of a subnormal. Same
// bits on every machine with fused multiply-add, and unlike libm's it vectorizes.
inline float exponential(float x) {
  const float bounded = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float n = std::nearbyint(bounded * 1.44269504f);
  const float r = std::fma(n, 2.12194440e-4f, std::fma(n, -0.693359375f, bounded));
  float p = 1.9875691500e-4f;
  p = std::fma(p, r, 1.3981999507e-3f);
  p = std::fma(p, r, 8.3334519073e-3f);
  p = std::fma(p, r, 4.1665795894e-2f);
  p = std::fma(p, r, 1.6666665459e-1f);
  p = std::fma(p, r, 5.0000001201e-1f);
  p = std::fma(p, r * r, r + 1.0f);
  const auto power = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23;
  return p * std::bit_cast<float>(power);
}

template <class Number>
inline Number sigmoid(Number x) {
  return Number(1) / (Number(1) + exponential(-x));
}

template <class Number>
inline Number hyperbolic_tangent(Number x) {
  return Number(1) - Number(2) / (exponential(Number(2) * x) + Number(1));
}

// Memory for the length of one operation, aligned to a cache line, not initialized.
template <class Number>
class Scratch {
 public:
  explicit Scratch(std::int64_t count)
      : bytes_(static_cast<std::size_t>(count) * sizeof(Number)),
        data_(static_cast<Number*>(take_scratch(bytes_))) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { give_scratch(data_, bytes_); }

  Number* data() const { return data_; }
  Number& operator[](std::int64_t i) const { return data_[i]; }

 private:
  std::size_t bytes_;
  Number* data_;
};

}  // namespace trireme::kernels::VECTOR_NAMESPACE
