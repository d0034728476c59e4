#include "data/permutation.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace trireme::data {
namespace {

// The finalizer of SplitMix64 (https://doi.org/10.1145/2714064.2660195).
std::uint64_t finalize(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

std::uint64_t mix(std::uint64_t seed, std::uint64_t number) {
  constexpr std::uint64_t kGoldenRatio = 0x9e3779b97f4a7c15u;
  return finalize(finalize(seed + kGoldenRatio) + (number + 1) * kGoldenRatio);
}

Permutation::Permutation(std::int64_t size, std::uint64_t seed, std::int64_t epoch)
    : size_(static_cast<std::uint64_t>(size)) {
  if (size < 1 || size > std::int64_t{1} << 62) {
    throw std::invalid_argument("a permutation of 1 to 2^62 numbers");
  }
  // Halves of fewer than four bits give too few different permutations.
  constexpr int kSmallestHalf = 4;
  half_bits_ = std::max(kSmallestHalf, static_cast<int>(std::bit_width(size_ - 1) + 1) / 2);
  const std::uint64_t key = mix(seed, static_cast<std::uint64_t>(epoch));
  for (std::size_t round = 0; round < kRounds; ++round) keys_[round] = mix(key, round);
}

std::int64_t Permutation::operator()(std::int64_t index) const {
  auto value = static_cast<std::uint64_t>(index);
  do {
    value = encrypt(value);
  } while (value >= size_);
  return static_cast<std::int64_t>(value);
}

std::uint64_t Permutation::encrypt(std::uint64_t value) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = value >> half_bits_;
  std::uint64_t right = value & mask;
  for (const std::uint64_t key : keys_) {
    const std::uint64_t mixed = left ^ (finalize(right + key) & mask);
    left = right;
    right = mixed;
  }
  return left << half_bits_ | right;
}

}  // namespace trireme::data
