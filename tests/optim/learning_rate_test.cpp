#include "optim/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace trireme::optim {
namespace {

using enum LearningRateSchedule;

constexpr LearningRate kCosine{
    .schedule = cosine, .peak = 1e-3, .minimum = 1e-4, .warmup_steps = 10, .total_steps = 110};

LearningRate with(LearningRateSchedule schedule) {
  LearningRate rate = kCosine;
  rate.schedule = schedule;
  return rate;
}

TEST(LearningRate, RisesLinearlyDuringWarmUp) {
  for (const auto schedule : {constant, linear, cosine, wsd}) {
    const LearningRate rate = with(schedule);
    for (std::int64_t step = 1; step <= 10; ++step) {
      EXPECT_DOUBLE_EQ(rate.at(step), 1e-4 * static_cast<double>(step)) << step;
    }
  }
}

TEST(LearningRate, StartsNearThePeakWithoutWarmUp) {
  for (const auto schedule : {constant, linear, cosine, wsd}) {
    LearningRate rate = with(schedule);
    rate.warmup_steps = 0;
    EXPECT_NEAR(rate.at(1), 1e-3, 1e-5);
    EXPECT_LE(rate.at(1), 1e-3);
  }
}

TEST(LearningRate, EndsAtTheMinimumUnlessItIsConstant) {
  for (const auto schedule : {linear, cosine, wsd}) {
    EXPECT_DOUBLE_EQ(with(schedule).at(110), 1e-4);
    EXPECT_GT(with(schedule).at(109), 1e-4);
  }
  EXPECT_EQ(with(constant).at(110), 1e-3);
}

TEST(LearningRate, StaysAtTheMinimumAfterTheLastStep) {
  for (const auto schedule : {linear, cosine, wsd}) EXPECT_DOUBLE_EQ(with(schedule).at(1000), 1e-4);
}

TEST(LearningRate, NeverRisesAfterWarmUpNorLeavesItsBounds) {
  for (const auto schedule : {constant, linear, cosine, wsd}) {
    const LearningRate rate = with(schedule);
    for (std::int64_t step = 11; step <= 120; ++step) {
      EXPECT_LE(rate.at(step), rate.at(step - 1)) << step;
      EXPECT_GE(rate.at(step), 1e-4) << step;
    }
  }
}

TEST(LearningRate, OfTheLinearScheduleFallsByEqualSteps) {
  for (std::int64_t step = 11; step <= 110; ++step) {
    EXPECT_NEAR(with(linear).at(step - 1) - with(linear).at(step), 9e-6, 1e-15) << step;
  }
}

TEST(LearningRate, OfTheCosineScheduleIsHalfAWave) {
  EXPECT_DOUBLE_EQ(kCosine.at(60), 5.5e-4);
  for (std::int64_t step = 10; step <= 110; ++step) {
    const double angle = std::numbers::pi * static_cast<double>(step - 10) / 100;
    EXPECT_NEAR(kCosine.at(step), 5.5e-4 + 4.5e-4 * std::cos(angle), 1e-15) << step;
  }
}

TEST(LearningRate, OfWsdStaysAtThePeakAndFallsLinearlyInTheLastPart) {
  LearningRate rate{.schedule = wsd,
                    .peak = 1e-3,
                    .minimum = 1e-4,
                    .warmup_steps = 10,
                    .total_steps = 200,
                    .decay_fraction = 0.25};
  for (std::int64_t step = 10; step <= 150; ++step) EXPECT_DOUBLE_EQ(rate.at(step), 1e-3) << step;
  EXPECT_LT(rate.at(151), 1e-3);
  EXPECT_DOUBLE_EQ(rate.at(175), 5.5e-4);
  EXPECT_DOUBLE_EQ(rate.at(200), 1e-4);
  rate.decay_fraction = 0;
  EXPECT_DOUBLE_EQ(rate.at(199), 1e-3);
  EXPECT_DOUBLE_EQ(rate.at(200), 1e-4);
}

TEST(LearningRate, OfARunThatIsAllWarmUpEndsAtThePeak) {
  LearningRate rate = with(linear);
  rate.warmup_steps = 110;
  EXPECT_DOUBLE_EQ(rate.at(55), 5e-4);
  EXPECT_DOUBLE_EQ(rate.at(110), 1e-3);
}

}  // namespace
}  // namespace trireme::optim
