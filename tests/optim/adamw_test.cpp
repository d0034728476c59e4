#include "optim/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/device.h"

namespace trireme::optim {
namespace {

using kernels::Dtype;
using test::Device;

constexpr std::int64_t kCount = 10;

// Two decayed elements, padding, three that are not, padding.
const std::vector<Segment> kSegments{{.first = 1, .count = 2, .decays = true},
                                     {.first = 5, .count = 3, .decays = false}};

bool in_segment(std::int64_t i) { return (i >= 1 && i < 3) || (i >= 5 && i < 8); }
bool decays(std::int64_t i) { return i < 3; }

std::vector<double> values_from(double first, double step) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < kCount; ++i) values.push_back(first + step * static_cast<double>(i));
  return values;
}

TEST(AdamW, DecaysOnlyWhereASegmentSaysSo) {
  Device device;
  const auto before = values_from(1, 0.25);
  const auto parameters = device.tensor({1, kCount}, Dtype::f32, before);
  const auto gradient = device.filled({1, kCount}, Dtype::f32, 0);
  AdamW adamw(*device.backend, *device.stream, parameters, kSegments, {.weight_decay = 0.5});
  adamw.update(*device.stream, gradient, /*learning_rate=*/0.125, /*gradient_scale=*/1, /*step=*/1);
  const auto after = device.values(parameters);
  for (std::int64_t i = 0; i < kCount; ++i) {
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(after[at], in_segment(i) && decays(i) ? before[at] * (1 - 0.125 * 0.5) : before[at])
        << i;
  }
}

TEST(AdamW, LeavesPaddingUntouched) {
  Device device;
  const auto before = values_from(1, 0.25);
  const auto parameters = device.tensor({1, kCount}, Dtype::f32, before);
  const auto gradient = device.tensor({1, kCount}, Dtype::f32, values_from(-3, 0.7));
  AdamW adamw(*device.backend, *device.stream, parameters, kSegments, {});
  for (std::int64_t step = 1; step <= 3; ++step) {
    adamw.update(*device.stream, gradient, /*learning_rate=*/0.1, /*gradient_scale=*/1, step);
  }
  const auto after = device.values(parameters);
  const auto first = device.values(adamw.first_moment()),
             second = device.values(adamw.second_moment());
  for (std::int64_t i = 0; i < kCount; ++i) {
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(after[at] == before[at], !in_segment(i)) << i;
    EXPECT_EQ(first[at] == 0, !in_segment(i)) << i;
    EXPECT_EQ(second[at] == 0, !in_segment(i)) << i;
  }
}

// Loshchilov and Hutter 2019, algorithm 2, https://arxiv.org/abs/1711.05101.
struct Reference {
  double theta, m = 0, v = 0;

  void update(double g, const AdamWOptions& options, double learning_rate, double weight_decay,
              int step) {
    m = options.beta1 * m + (1 - options.beta1) * g;
    v = options.beta2 * v + (1 - options.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(options.beta1, step)),
                 v_hat = v / (1 - std::pow(options.beta2, step));
    theta -= learning_rate * (m_hat / (std::sqrt(v_hat) + options.epsilon) + weight_decay * theta);
  }
};

TEST(AdamW, FollowsThePaperOverManySteps) {
  Device device;
  const AdamWOptions options{.beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-2, .weight_decay = 0.3};
  const auto start = values_from(-2, 0.5);
  std::vector<Reference> reference;
  for (const double theta : start) reference.push_back({.theta = theta});
  const auto parameters = device.tensor({1, kCount}, Dtype::f64, start);
  AdamW adamw(*device.backend, *device.stream, parameters, kSegments, options);
  for (int step = 1; step <= 20; ++step) {
    const auto gradients = Device::random_values(kCount, static_cast<unsigned>(step));
    const auto gradient = device.tensor({1, kCount}, Dtype::f64, gradients);
    const double learning_rate = 0.05 / step, scale = 0.5;
    adamw.update(*device.stream, gradient, learning_rate, scale, step);
    for (std::int64_t i = 0; i < kCount; ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (!in_segment(i)) continue;
      reference[at].update(scale * gradients[at], options, learning_rate,
                           decays(i) ? options.weight_decay : 0, step);
    }
  }
  const auto after = device.values(parameters);
  for (std::size_t i = 0; i < after.size(); ++i)
    EXPECT_NEAR(after[i], reference[i].theta, 1e-13) << i;
}

TEST(AdamW, UpdatesItsParametersInPlaceWhereTheyAreExact) {
  Device device;
  const auto parameters = device.filled({1, kCount}, Dtype::f32, 1);
  const AdamW adamw(*device.backend, *device.stream, parameters, kSegments, {});
  EXPECT_EQ(adamw.master().data, parameters.view().data);
}

// A step of 2^-10 is lost when it is added to 1 in bf16, but not when four of them are.
TEST(AdamW, GathersStepsTooSmallForBf16InItsMaster) {
  Device device;
  const auto parameters = device.filled({1, kCount}, Dtype::bf16, 1);
  const auto gradient = device.filled({1, kCount}, Dtype::f32, -1);
  AdamW adamw(*device.backend, *device.stream, parameters, kSegments, {.weight_decay = 0});
  EXPECT_EQ(adamw.master().dtype, Dtype::f32);
  device.assign(adamw.master(), std::vector<double>(kCount, 1));
  std::vector<double> seen;
  for (std::int64_t step = 1; step <= 8; ++step) {
    adamw.update(*device.stream, gradient, /*learning_rate=*/0x1p-10, /*gradient_scale=*/1, step);
    const auto master = device.values(adamw.master());
    EXPECT_NEAR(master[1], 1 + 0x1p-10 * static_cast<double>(step), 1e-5);
    EXPECT_EQ(master[0], 1);
    EXPECT_EQ(device.values(parameters)[0], 1);
    seen.push_back(device.values(parameters)[1]);
  }
  EXPECT_EQ(seen.front(), 1);
  EXPECT_EQ(seen.back(), 1 + 0x1p-7);
}

}  // namespace
}  // namespace trireme::optim
