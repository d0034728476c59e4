#pragma once

#include <array>
#include <cstdint>

namespace trireme::data {

// A well-mixed function of both: two numbers that differ in one bit give unrelated results.
std::uint64_t mix(std::uint64_t seed, std::uint64_t number);

// A bijection on [0, size), chosen by (seed, epoch), that takes no memory: a balanced Feistel
// network over a power of two, walked until it lands inside
// (https://doi.org/10.1007/3-540-45760-7_9).
class Permutation {
 public:
  // 1 <= size <= 2^62. Throws std::invalid_argument.
  Permutation(std::int64_t size, std::uint64_t seed, std::int64_t epoch);

  // The image of `index`, which is in [0, size).
  std::int64_t operator()(std::int64_t index) const;

 private:
  std::uint64_t encrypt(std::uint64_t value) const;

  static constexpr std::size_t kRounds = 6;

  std::uint64_t size_;
  int half_bits_;
  std::array<std::uint64_t, kRounds> keys_;
};

}  // namespace trireme::data
