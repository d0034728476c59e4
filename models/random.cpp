#include "models/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace trireme::models {
namespace {

using Words = std::array<std::uint32_t, 4>;

Words philox(Words counter, std::uint64_t key) {
  auto key0 = static_cast<std::uint32_t>(key), key1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0,
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1,
               static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// FNV-1a.
std::uint64_t hash_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// In (0, 1), so that its logarithm is finite.
double uniform(std::uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; }

// Deviates 4 * block to 4 * block + 3 of the stream (seed, name).
std::array<float, 4> normals(std::uint64_t block, std::uint64_t seed, std::uint64_t name) {
  const Words words =
      philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
              static_cast<std::uint32_t>(name), static_cast<std::uint32_t>(name >> 32)},
             seed);
  std::array<float, 4> out;
  for (std::size_t pair = 0; pair < 2; ++pair) {
    const double radius = std::sqrt(-2 * std::log(uniform(words[2 * pair])));
    const double angle = 2 * std::numbers::pi * uniform(words[2 * pair + 1]);
    out[2 * pair] = static_cast<float>(radius * std::cos(angle));
    out[2 * pair + 1] = static_cast<float>(radius * std::sin(angle));
  }
  return out;
}

}  // namespace

void initial_values(const Parameter& parameter, std::uint64_t seed, std::int64_t first,
                    std::span<float> values) {
  if (parameter.initializer != Initializer::normal) {
    std::ranges::fill(values, parameter.initializer == Initializer::ones ? 1.0f : 0.0f);
    return;
  }
  const std::uint64_t name = hash_of(parameter.name);
  const auto deviation = static_cast<float>(parameter.deviation);
  std::array<float, 4> block = {};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto index = static_cast<std::uint64_t>(first) + i;
    if (i == 0 || index % 4 == 0) block = normals(index / 4, seed, name);
    values[i] = deviation * block[index % 4];
  }
}

}  // namespace trireme::models
