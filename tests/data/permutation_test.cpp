#include "data/permutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <vector>

namespace trireme::data {
namespace {

TEST(Permutation, IsABijectionForEverySize) {
  std::vector<std::int64_t> sizes(300);
  std::iota(sizes.begin(), sizes.end(), 1);
  for (const std::int64_t size : {1023, 1024, 1025, 4097, 65535, 65536, 65537, 99991}) {
    sizes.push_back(size);
  }
  for (const std::int64_t size : sizes) {
    for (const std::uint64_t seed : {0u, 1u}) {
      const Permutation permutation(size, seed, 3);
      std::vector<bool> seen(static_cast<std::size_t>(size));
      for (std::int64_t i = 0; i < size; ++i) {
        const std::int64_t image = permutation(i);
        ASSERT_TRUE(image >= 0 && image < size);
        ASSERT_FALSE(seen[static_cast<std::size_t>(image)]) << size;
        seen[static_cast<std::size_t>(image)] = true;
      }
    }
  }
}

TEST(Permutation, StaysInsideTheLargestSizes) {
  for (const std::int64_t size : {std::int64_t{1} << 62, (std::int64_t{1} << 61) + 1}) {
    const Permutation permutation(size, 1, 0);
    std::set<std::int64_t> images;
    for (std::int64_t i = 0; i < 1000; ++i) {
      images.insert(permutation(i));
      images.insert(permutation(size - 1 - i));
    }
    EXPECT_EQ(images.size(), 2000);
    EXPECT_GE(*images.begin(), 0);
    EXPECT_LT(*images.rbegin(), size);
  }
  EXPECT_THROW(Permutation(0, 1, 0), std::invalid_argument);
  EXPECT_THROW(Permutation((std::int64_t{1} << 62) + 1, 1, 0), std::invalid_argument);
}

TEST(Permutation, MixesWell) {
  constexpr std::int64_t kSize = 100000;
  const Permutation permutation(kSize, 7, 0);
  double sum = 0;
  int rising = 0;
  for (std::int64_t i = 0; i < kSize; ++i) {
    sum += static_cast<double>(i) * static_cast<double>(permutation(i));
    if (i > 0 && permutation(i) > permutation(i - 1)) ++rising;
  }
  // For a random permutation the correlation has a deviation of 1 / sqrt(size), and the
  // number of rises one of sqrt(size / 12).
  const double mean = (kSize - 1) / 2.0;
  const double variance = (static_cast<double>(kSize) * kSize - 1) / 12;
  EXPECT_LT(std::abs(sum / kSize - mean * mean) / variance, 5 / std::sqrt(kSize));
  EXPECT_NEAR(rising, kSize / 2, 5 * std::sqrt(kSize / 12.0));
}

TEST(Permutation, GivesEveryOrderOfASmallSetEquallyOften) {
  constexpr int kSeeds = 24000;
  std::map<std::vector<std::int64_t>, int> orders;
  for (int seed = 0; seed < kSeeds; ++seed) {
    const Permutation permutation(4, static_cast<std::uint64_t>(seed), 0);
    ++orders[{permutation(0), permutation(1), permutation(2), permutation(3)}];
  }
  EXPECT_EQ(orders.size(), 24);
  for (const auto& [order, count] : orders) EXPECT_NEAR(count, kSeeds / 24, 160);
}

TEST(Permutation, ChangesWithSeedAndEpoch) {
  const auto same = [](const Permutation& a, const Permutation& b) {
    int count = 0;
    for (std::int64_t i = 0; i < 10000; ++i) count += a(i) == b(i) ? 1 : 0;
    return count;
  };
  const Permutation original(10000, 1, 0);
  EXPECT_EQ(same(original, Permutation(10000, 1, 0)), 10000);
  // Two random permutations agree in one place on average.
  EXPECT_LT(same(original, Permutation(10000, 1, 1)), 10);
  EXPECT_LT(same(original, Permutation(10000, 2, 0)), 10);
}

// What runs and checkpoints depend on: these numbers never change.
TEST(Permutation, NeverChangesBetweenVersions) {
  const Permutation permutation(1000, 1234, 5);
  const std::vector<std::int64_t> images = {permutation(0), permutation(1), permutation(999)};
  EXPECT_EQ(images, (std::vector<std::int64_t>{854, 17, 592}));
}

}  // namespace
}  // namespace trireme::data
