#include "kernels/cuda/capability.h"

#include <gtest/gtest.h>

#include <array>

namespace trireme::kernels {
namespace {

TEST(Capability, SaysWhichDevicesABuildIsFor) {
  const std::array usual{800, 900, 1000};
  const std::array hopper{900};
  for (const int device : {800, 860, 890, 900, 1000, 1030, 1200}) {
    EXPECT_TRUE(runs_on(device, usual)) << device;
  }
  EXPECT_FALSE(runs_on(750, usual));
  EXPECT_FALSE(runs_on(800, hopper));
  EXPECT_TRUE(runs_on(1000, hopper)) << "by its PTX";
  EXPECT_TRUE(runs_on(860, std::array{800, 900})) << "by the binary of its generation";
  EXPECT_FALSE(runs_on(800, std::array{860, 900}));
  EXPECT_FALSE(runs_on(900, {}));
}

TEST(Capability, IsWrittenAsNvidiaDoes) {
  EXPECT_EQ(capability_text(860), "8.6");
  EXPECT_EQ(capability_text(1000), "10.0");
}

TEST(Capability, TellsWhatAMultiprocessorDoes) {
  EXPECT_EQ(flops_of_a_cycle(800).fp32, 128);
  // 108 of them at 1.41 GHz: the data sheet has 312 and 19.5 TFLOP/s.
  EXPECT_NEAR(flops_of_a_cycle(800).tensor * 108 * 1.41e9, 312e12, 1e12);
  EXPECT_NEAR(flops_of_a_cycle(800).fp32 * 108 * 1.41e9, 19.5e12, 0.1e12);
  // 132 at 1.83: 989 and 62.
  EXPECT_NEAR(flops_of_a_cycle(900).tensor * 132 * 1.83e9, 989e12, 5e12);
  EXPECT_NEAR(flops_of_a_cycle(900).fp32 * 132 * 1.83e9, 62e12, 1e12);
  // An A40: 84 at 1.74, 149.7 and 37.4.
  EXPECT_NEAR(flops_of_a_cycle(860).tensor * 84 * 1.74e9, 149.7e12, 1e12);
  EXPECT_NEAR(flops_of_a_cycle(860).fp32 * 84 * 1.74e9, 37.4e12, 0.1e12);
}

}  // namespace
}  // namespace trireme::kernels
