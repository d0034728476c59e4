#include "data/blend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace trireme::data {
namespace {

const std::vector<std::vector<double>> kWeights = {
    {1},
    {1, 1},
    {0.3, 0.7},
    {1, 2, 3},
    {1, 1, 1, 1, 1, 1, 1},
    {0.05, 0.9, 0.05},
    {1e-9, 1, 1e9},
    {5, 1, 1, 1, 8, 0.25, 3, 3, 0.125, 64, 7, 7},
    {1e308, 1e308},
};

TEST(Blend, NumbersTheSamplesOfEverySourceOneByOne) {
  for (const auto& weights : kWeights) {
    const Blend blend(weights);
    std::vector<std::int64_t> counts(weights.size());
    for (std::int64_t i = 0; i < 5000; ++i) {
      ASSERT_EQ(blend.counts(i), counts);
      const Place place = blend.place(i);
      ASSERT_LT(place.source, weights.size());
      ASSERT_EQ(place.local, counts[place.source]++);
    }
  }
}

TEST(Blend, GivesEverySourceItsShareAtEveryMoment) {
  for (const auto& weights : kWeights) {
    const Blend blend(weights);
    const long double total =
        std::accumulate(weights.begin(), weights.end(), static_cast<long double>(0));
    for (std::int64_t samples = 0; samples < 20000; ++samples) {
      const auto counts = blend.counts(samples);
      EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}), samples);
      for (std::size_t source = 0; source < weights.size(); ++source) {
        const auto ideal = static_cast<double>(samples * (weights[source] / total));
        ASSERT_NEAR(static_cast<double>(counts[source]), ideal, 1) << samples;
      }
    }
  }
}

TEST(Blend, StaysExactForLargeNumbers) {
  const Blend blend(std::vector<double>{1, 3});
  const std::int64_t many = std::int64_t{1} << 60;
  EXPECT_EQ(blend.counts(many), (std::vector<std::int64_t>{many / 4, many / 4 * 3}));
  const Place place = blend.place(many + 1);
  EXPECT_EQ(place.local, blend.counts(many + 1)[place.source]);
}

TEST(Blend, RefusesWeightsThatMakeNoSense) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double weight : {0.0, -1.0, infinity, std::nan("")}) {
    EXPECT_THROW(Blend(std::vector<double>{1, weight}), std::invalid_argument);
  }
  EXPECT_THROW(Blend(std::vector<double>{}), std::invalid_argument);
}

}  // namespace
}  // namespace trireme::data
