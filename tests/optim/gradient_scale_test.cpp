#include "optim/gradient_scale.h"

#include <gtest/gtest.h>

namespace trireme::optim {
namespace {

TEST(ClipFactor, BringsALongGradientToTheLimit) {
  EXPECT_DOUBLE_EQ(clip_factor(4, 1) * 4, 1);
  EXPECT_DOUBLE_EQ(clip_factor(10, 2.5), 0.25);
}

TEST(ClipFactor, LeavesAShortGradientAlone) {
  EXPECT_EQ(clip_factor(0.5, 1), 1);
  EXPECT_EQ(clip_factor(1, 1), 1);
  EXPECT_EQ(clip_factor(0, 1), 1);
}

TEST(ClipFactor, OfNoLimitIsOne) {
  EXPECT_EQ(clip_factor(1e30, 0), 1);
  EXPECT_EQ(clip_factor(0, 0), 1);
}

TEST(LossScale, StaysOneUnlessItIsDynamic) {
  LossScale scale;
  for (const bool overflowed : {false, true, false, true, true}) {
    scale.update(overflowed);
    EXPECT_EQ(scale.value(), 1);
  }
}

TEST(LossScale, HalvesAtEveryOverflow) {
  auto scale = LossScale::dynamic(1024, 3);
  scale.update(/*overflowed=*/true);
  EXPECT_EQ(scale.value(), 512);
  scale.update(/*overflowed=*/true);
  EXPECT_EQ(scale.value(), 256);
}

TEST(LossScale, DoublesAfterAWindowOfGoodSteps) {
  auto scale = LossScale::dynamic(1024, 3);
  for (const double expected : {1024, 1024, 2048, 2048, 2048, 4096}) {
    scale.update(/*overflowed=*/false);
    EXPECT_EQ(scale.value(), expected);
  }
}

TEST(LossScale, StartsItsWindowAgainAfterAnOverflow) {
  auto scale = LossScale::dynamic(1024, 3);
  scale.update(/*overflowed=*/false);
  scale.update(/*overflowed=*/true);
  for (const double expected : {512, 512, 1024}) {
    scale.update(/*overflowed=*/false);
    EXPECT_EQ(scale.value(), expected);
  }
}

TEST(LossScale, FallsToOneAndNoFurther) {
  auto scale = LossScale::dynamic(4, 1000);
  for (const double expected : {2, 1, 1, 1}) {
    scale.update(/*overflowed=*/true);
    EXPECT_EQ(scale.value(), expected);
  }
}

TEST(LossScale, RisesToTwoToThe24AndNoFurther) {
  auto scale = LossScale::dynamic(0x1p22, 1);
  for (const double expected : {0x1p23, 0x1p24, 0x1p24, 0x1p24}) {
    scale.update(/*overflowed=*/false);
    EXPECT_EQ(scale.value(), expected);
  }
}

TEST(LossScale, StaysBelowItsCeilingWhateverItStartsFrom) {
  auto scale = LossScale::dynamic(1e7, 1);
  scale.update(/*overflowed=*/false);
  EXPECT_LE(scale.value(), 0x1p24);
}

}  // namespace
}  // namespace trireme::optim
