#include <gtest/gtest.h>

#include "tests/support/device.h"

namespace trireme::kernels {
namespace {

using test::Device;
using test::relative_error;
using Values = std::vector<double>;

// So many elements, which a device may be able to take several at a time.
class AdamWTest : public testing::TestWithParam<std::int64_t> {};

TEST_P(AdamWTest, FollowsItsDefinitionAndRoundsTheParameter) {
  Device device;
  const std::int64_t n = GetParam();
  const Tensor master = device.random({1, n}, Dtype::f32, 1),
               gradient = device.random({1, n}, Dtype::f32, 2);
  const Tensor m = device.filled({1, n}, Dtype::f32, 0), v = device.filled({1, n}, Dtype::f32, 0);
  const Tensor parameter = device.filled({1, n}, Dtype::bf16, NAN);
  Values w = device.values(master), first(w.size(), 0.0), second(w.size(), 0.0);
  const Values g = device.values(gradient);
  for (std::int64_t step = 1; step <= 3; ++step) {
    device.run(AdamW{.master = master,
                     .first_moment = m,
                     .second_moment = v,
                     .gradient = gradient,
                     .parameter = parameter,
                     .learning_rate = 0.01,
                     .beta1 = 0.9,
                     .beta2 = 0.95,
                     .epsilon = 1e-8,
                     .weight_decay = 0.1,
                     .gradient_scale = 0.5,
                     .step = step});
    for (std::size_t i = 0; i < w.size(); ++i) {
      first[i] = 0.9 * first[i] + 0.1 * 0.5 * g[i];
      second[i] = 0.95 * second[i] + 0.05 * 0.25 * g[i] * g[i];
      const double mean = first[i] / (1 - std::pow(0.9, static_cast<double>(step)));
      const double spread = second[i] / (1 - std::pow(0.95, static_cast<double>(step)));
      w[i] -= 0.01 * (mean / (std::sqrt(spread) + 1e-8) + 0.1 * w[i]);
    }
  }
  EXPECT_LE(relative_error(device.values(master), w), 1e-6);
  const Values stored = device.values(parameter), exact = device.values(master);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    EXPECT_EQ(stored[i],
              static_cast<double>(static_cast<float>(Bf16(static_cast<float>(exact[i])))));
  }
}

INSTANTIATE_TEST_SUITE_P(Elements, AdamWTest, testing::Values(10000, 10001));

}  // namespace
}  // namespace trireme::kernels
