#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/dtype.h"

// Included by one file, built for AMX: what is here has internal linkage, so that no other machine
// runs it.
namespace trireme::kernels {
namespace {

constexpr std::int64_t kTile = 16;   // rows and columns of a tile of sums
constexpr std::int64_t kDepth = 32;  // inner elements of a tile of factors
constexpr std::int64_t kTileBytes = 1024;

// How many numbers of bf16 make one of this type.
template <class Stored>
constexpr int kParts = 1;
template <>
constexpr int kParts<float> = 3;
template <>
constexpr int kParts<F16> = 2;

inline __m512 load(const float* from, __mmask16 lanes) {
  return _mm512_maskz_loadu_ps(lanes, from);
}
inline __m512 load(const Bf16* from, __mmask16 lanes) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, from)), 16));
}
inline __m512 load(const F16* from, __mmask16 lanes) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, from));
}

inline __m512 widen(__m256i bf16) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

inline __mmask16 first_lanes(std::int64_t count) {
  const unsigned lanes = count >= kTile ? 0xffffu : (1u << (count < 0 ? 0 : count)) - 1;
  return static_cast<__mmask16>(lanes);
}

// 16 x 16 numbers, in place.
inline void transpose(__m512 (&numbers)[kTile]) {
  __m512i rows[kTile], half[kTile];
  for (int i = 0; i < kTile; ++i) rows[i] = _mm512_castps_si512(numbers[i]);
  for (int i = 0; i < kTile; i += 2) {
    half[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    half[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < kTile; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(half[i], half[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(half[i], half[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(half[i + 1], half[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(half[i + 1], half[i + 3]);
  }
  for (int i = 0; i < kTile; i += 8) {
    for (int j = 0; j < 4; ++j) {
      half[i + j] = _mm512_shuffle_i32x4(rows[i + j], rows[i + j + 4], 0x88);
      half[i + j + 4] = _mm512_shuffle_i32x4(rows[i + j], rows[i + j + 4], 0xdd);
    }
  }
  for (int j = 0; j < 8; ++j) {
    numbers[j] = _mm512_castsi512_ps(_mm512_shuffle_i32x4(half[j], half[j + 8], 0x88));
    numbers[j + 8] = _mm512_castsi512_ps(_mm512_shuffle_i32x4(half[j], half[j + 8], 0xdd));
  }
}

// A factor as it lies in memory: element (line, k) with either running along memory.
struct Factor {
  const void* data;
  std::int64_t stride;
  std::int64_t lines;  // rows of the left factor, columns of the right one
  std::int64_t inner;
  bool inner_is_contiguous;
};

// 16 lines and 32 inner elements: vector i of each half is line i, or inner element i of 16 lines.
struct Halves {
  __m512 first[kTile], second[kTile];
};

// What lies outside is zero.
template <class Stored, bool kContiguous>
void load_halves(const Factor& factor, std::int64_t line, std::int64_t k, Halves& halves) {
  const auto* data = static_cast<const Stored*>(factor.data) +
                     (kContiguous ? line * factor.stride + k : k * factor.stride + line);
  const std::int64_t step = kContiguous ? kTile : kTile * factor.stride;  // to the second half
  const std::int64_t lines = factor.lines - line, inner = factor.inner - k;
  const __mmask16 lanes = first_lanes(kContiguous ? inner : lines);
  const __mmask16 second_lanes = kContiguous ? first_lanes(inner - kTile) : lanes;
  const std::int64_t count = kContiguous ? lines : inner;
  const std::int64_t second_count = kContiguous ? lines : inner - kTile;
  for (std::int64_t i = 0; i < kTile; ++i, data += factor.stride) {
    if (kContiguous) _mm_prefetch(data + 4 * kDepth, _MM_HINT_T0);
    halves.first[i] = i < count ? load(data, lanes) : _mm512_setzero_ps();
    halves.second[i] = i < second_count ? load(data + step, second_lanes) : _mm512_setzero_ps();
  }
}

// The next 32 numbers of bf16 of two vectors, which keep what these leave over.
inline __m512i take_part(__m512& low, __m512& high) {
  const __m512i rounded = (__m512i)_mm512_cvtne2ps_pbh(high, low);
  low = _mm512_sub_ps(low, widen(_mm512_castsi512_si256(rounded)));
  high = _mm512_sub_ps(high, widen(_mm512_extracti64x4_epi64(rounded, 1)));
  return rounded;
}

// A tile of 16 lines from `line` on and 32 inner elements from `k` on, as kParts tiles one after
// the other: inner elements of a line side by side for the left factor; pairs of inner elements,
// by pair and line, for the right one.
template <class Stored, bool kLeft, bool kContiguous>
void pack_tile(const Factor& factor, std::int64_t line, std::int64_t k, char* to) {
  const __m512i interleave =
      _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                       21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  Halves halves;
  load_halves<Stored, kContiguous>(factor, line, k, halves);
  if (kContiguous != kLeft) {
    transpose(halves.first);
    transpose(halves.second);
  }
  for (int i = 0; i < kTile; ++i) {
    __m512* pair = i < 8 ? halves.first + 2 * i : halves.second + 2 * i - kTile;
    __m512 low = kLeft ? halves.first[i] : pair[0];
    __m512 high = kLeft ? halves.second[i] : pair[1];
    for (int part = 0; part < kParts<Stored>; ++part) {
      const __m512i taken = take_part(low, high);
      _mm512_store_si512(to + part * kTileBytes + i * 64,
                         kLeft ? taken : _mm512_permutexvar_epi16(interleave, taken));
    }
  }
}

}  // namespace
}  // namespace trireme::kernels
