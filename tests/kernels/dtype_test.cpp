#include "kernels/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace trireme::kernels {
namespace {

TEST(Bf16, RoundsToNearestEven) {
  EXPECT_EQ(Bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(Bf16(1.00390625f).bits, 0x3f80) << "a tie goes to the even neighbor";
  EXPECT_EQ(Bf16(1.01171875f).bits, 0x3f82) << "a tie goes to the even neighbor";
  EXPECT_EQ(Bf16(1.0040f).bits, 0x3f81);
  EXPECT_EQ(Bf16(3.4e38f).bits, 0x7f80) << "above the largest: infinity";
  EXPECT_TRUE(std::isnan(static_cast<float>(Bf16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(F16, ReadsBackEveryValueItCanStore) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    F16 half;
    half.bits = static_cast<std::uint16_t>(bits);
    const auto value = static_cast<float>(half);
    if (std::isnan(value)) {
      EXPECT_EQ(bits & 0x7c00u, 0x7c00u);
      continue;
    }
    EXPECT_EQ(F16(value).bits, bits);
  }
}

TEST(F16, KnowsItsLimits) {
  EXPECT_EQ(static_cast<float>(F16(65504.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(static_cast<float>(F16(65520.0f))));
  EXPECT_EQ(static_cast<float>(F16(0x1p-24f)), 0x1p-24f) << "the smallest subnormal";
  EXPECT_EQ(static_cast<float>(F16(0x1p-26f)), 0.0f);
  EXPECT_EQ(static_cast<float>(F16(1.0f / 3)), 0.333251953125f);
}

}  // namespace
}  // namespace trireme::kernels
