#pragma once

// In place of kernels/cuda/warp.cuh: what its instructions are documented to do.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace trireme::kernels {

inline unsigned char* shared_memory() {
  constexpr std::size_t kMost = 227 << 10;  // that a block of an H100 can have
  alignas(16) static thread_local unsigned char memory[kMost];
  return memory;
}

inline unsigned lane_index() { return threadIdx.x % cuda_on_cpu::kWarpSize; }

// Where lane `lane` pointed to.
inline const std::uint16_t* row_of(unsigned lane) {
  const void* row = nullptr;
  std::memcpy(&row, cuda_on_cpu::given_by(lane), sizeof row);
  return static_cast<const std::uint16_t*>(row);
}

inline void load_matrices(unsigned (&to)[4], const void* row) {
  const unsigned lane = lane_index();
  cuda_on_cpu::give_to_warp(&row, sizeof row);
  for (unsigned i = 0; i < 4; ++i) {
    std::memcpy(&to[i], row_of(8 * i + lane / 4) + lane % 4 * 2, sizeof to[i]);
  }
}

inline void load_transposed(unsigned (&to)[4], const void* row) {
  const unsigned lane = lane_index();
  cuda_on_cpu::give_to_warp(&row, sizeof row);
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned low = row_of(8 * i + lane % 4 * 2)[lane / 4];
    const unsigned high = row_of(8 * i + lane % 4 * 2 + 1)[lane / 4];
    to[i] = low | high << 16;
  }
}

inline float number_of(std::uint16_t bits, __nv_bfloat16) { return __bfloat162float({bits}); }
inline float number_of(std::uint16_t bits, __half) {
  __half half;
  std::memcpy(&half, &bits, sizeof half);
  return __half2float(half);
}
inline unsigned bits_of(float value, __nv_bfloat16) { return __float2bfloat16_rn(value).bits; }
inline unsigned bits_of(float value, __half) {
  const __half half = __float2half_rn(value);
  std::uint16_t bits = 0;
  std::memcpy(&bits, &half, sizeof bits);
  return bits;
}

template <class T>
void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, T) {
  struct Given {
    unsigned a[4], b[2];
  };
  const Given mine{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  cuda_on_cpu::give_to_warp(&mine, sizeof mine);
  const auto given = [](unsigned lane) {
    return static_cast<const Given*>(cuda_on_cpu::given_by(lane));
  };
  const auto half_of = [](unsigned both, unsigned which) {
    return number_of(static_cast<std::uint16_t>(both >> 16 * which), T());
  };
  const unsigned lane = lane_index();
  for (unsigned e = 0; e < 4; ++e) {
    const unsigned row = lane / 4, column = lane % 4 * 2 + e % 2;
    for (unsigned k = 0; k < 16; ++k) {
      // Rows 8 to 15 of a are in its odd registers, columns 8 to 15 in the last two.
      const unsigned from_a = given(row * 4 + k % 8 / 2)->a[e / 2 + k / 8 * 2];
      const unsigned from_b = given(column * 4 + k % 8 / 2)->b[k / 8];
      c[e] += half_of(from_a, k % 2) * half_of(from_b, k % 2);
    }
  }
}

template <class T>
unsigned packed(float low, float high, T) {
  return bits_of(low, T()) | bits_of(high, T()) << 16;
}

// At once; that they are waited for is not seen.
inline void begin_copy(void* to, const void* from, bool exists) {
  if (exists) {
    std::memcpy(to, from, 16);
  } else {
    std::memset(to, 0, 16);
  }
}
inline void end_group() {}
template <int groups>
void wait_for_copies() {}

}  // namespace trireme::kernels
