#include "models/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

namespace trireme::models {
namespace {

Parameter normal(const std::string& name, double deviation) {
  return {.name = name,
          .dimensions = 2,
          .rows = 1000,
          .columns = 1000,
          .sharding = Sharding::replicated,
          .initializer = Initializer::normal,
          .deviation = deviation,
          .unit = 0};
}

std::vector<float> values_of(const Parameter& parameter, std::uint64_t seed, std::int64_t first,
                             std::size_t count) {
  std::vector<float> values(count, -1e9f);
  initial_values(parameter, seed, first, values);
  return values;
}

TEST(InitialValues, OfAnyPartAreThoseOfTheWhole) {
  const Parameter parameter = normal("model.norm.weight", 0.02);
  const auto whole = values_of(parameter, 1234, 0, 64);
  for (std::int64_t first = 0; first < 13; ++first) {
    for (std::size_t count = 0; count < 18; ++count) {
      const auto part = values_of(parameter, 1234, first, count);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first))
          << first << " " << count;
    }
  }
}

TEST(InitialValues, OfPartsBeyondTheFirstFourBillionAreNotThoseOfTheStart) {
  const Parameter parameter = normal("model.embed_tokens.weight", 0.02);
  const std::int64_t far = std::int64_t{1} << 34;
  const auto start = values_of(parameter, 1, 0, 8), beyond = values_of(parameter, 1, far, 8);
  EXPECT_NE(beyond, start);
  EXPECT_EQ(values_of(parameter, 1, far + 3, 1)[0], beyond[3]);
}

TEST(InitialValues, DifferWithTheNameAndWithTheSeed) {
  const auto values = values_of(normal("model.layers.1.mlp.up_proj.weight", 0.02), 7, 0, 1000);
  for (const auto& other :
       {values_of(normal("model.layers.2.mlp.up_proj.weight", 0.02), 7, 0, 1000),
        values_of(normal("model.layers.1.mlp.up_proj.weight", 0.02), 8, 0, 1000),
        values_of(normal("model.layers.1.mlp.up_proj.weight", 0.02), 7 + (1ull << 32), 0, 1000)}) {
    double product = 0, size = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_NE(values[i], other[i]) << i;
      product += static_cast<double>(values[i]) * other[i];
      size += static_cast<double>(values[i]) * values[i];
    }
    // Uncorrelated, to five standard errors.
    EXPECT_LT(std::abs(product / size), 5 / std::sqrt(1000.0));
  }
}

TEST(InitialValues, AreNormalWithTheDeclaredDeviation) {
  constexpr std::size_t kCount = 1'000'000;
  const double deviation = 0.02;
  const auto values = values_of(normal("lm_head.weight", deviation), 3, 0, kCount);
  double sum = 0, squares = 0, fourth = 0, within = 0, neighbors = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    const double z = static_cast<double>(values[i]) / deviation;
    sum += z;
    squares += z * z;
    fourth += z * z * z * z;
    within += std::abs(z) < 1;
    if (i > 0) neighbors += z * static_cast<double>(values[i - 1]) / deviation;
  }
  // Five standard errors of each statistic of a million normal deviates.
  EXPECT_NEAR(sum / kCount, 0, 5e-3);
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2.0) * 1e-3);
  EXPECT_NEAR(fourth / kCount, 3, 5 * std::sqrt(96.0) * 1e-3);
  EXPECT_NEAR(within / kCount, std::erf(1 / std::numbers::sqrt2), 5 * 0.4659e-3);
  EXPECT_NEAR(neighbors / kCount, 0, 5e-3);
}

TEST(InitialValues, OfNormsAreOnesAndOfBiasesZeros) {
  Parameter parameter = normal("model.norm.weight", 0);
  parameter.initializer = Initializer::ones;
  EXPECT_EQ(values_of(parameter, 1, 5, 3), (std::vector<float>{1, 1, 1}));
  parameter.initializer = Initializer::zeros;
  EXPECT_EQ(values_of(parameter, 1, 5, 3), (std::vector<float>{0, 0, 0}));
}

// A name whose 64-bit FNV-1a hash is zero makes the generator's counter zero: the first known
// answer of Random123 for philox4x32-10, through Box and Muller's transform.
TEST(InitialValues, ComeFromPhiloxThroughBoxAndMuller) {
  constexpr std::uint32_t kKnownAnswer[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  const auto values = values_of(normal("\xd5\x6b\xb9\x53\x42\x87\x08\x36", 1), 0, 0, 4);
  for (std::size_t pair = 0; pair < 2; ++pair) {
    const double radius = std::sqrt(-2 * std::log(kKnownAnswer[2 * pair] * 0x1p-32));
    const double angle = 2 * std::numbers::pi * kKnownAnswer[2 * pair + 1] * 0x1p-32;
    EXPECT_NEAR(values[2 * pair], radius * std::cos(angle), 1e-6);
    EXPECT_NEAR(values[2 * pair + 1], radius * std::sin(angle), 1e-6);
  }
}

}  // namespace
}  // namespace trireme::models
