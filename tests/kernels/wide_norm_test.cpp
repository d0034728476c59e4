// Norms of rows of every length that a device treats in its own way, against their definition in
// double precision.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/of_every_dtype.h"

namespace trireme::kernels {
namespace {

using test::Device;

// Few, or more than the blocks a gradient is made by have at first.
constexpr std::int64_t kFewRows = 35, kManyRows = 17000;
constexpr double kEpsilon = 1e-3;

// What a norm makes of its inputs, by definition.
struct Expected {
  Values sum, out, d_x, d_weight, d_bias;

  Expected(const Values& x, const Values& residual, const Values& weight, const Values& bias,
           const Values& d_out, const Values& d_residual, bool centered)
      : d_weight(weight.size(), 0.0), d_bias(weight.size(), 0.0) {
    const std::size_t columns = weight.size();
    const auto count = static_cast<double>(columns);
    for (std::size_t first = 0; first < x.size(); first += columns) {
      double mean = 0, squares = 0, dot = 0, total = 0;
      for (std::size_t c = 0; c < columns; ++c) {
        sum.push_back(x[first + c] + residual[first + c]);
        mean += centered ? sum.back() / count : 0;
      }
      for (std::size_t c = 0; c < columns; ++c) {
        squares += (sum[first + c] - mean) * (sum[first + c] - mean) / count;
      }
      const double scale = 1 / std::sqrt(squares + kEpsilon);
      const auto normalized = [&](std::size_t c) { return (sum[first + c] - mean) * scale; };
      for (std::size_t c = 0; c < columns; ++c) {
        out.push_back(weight[c] * normalized(c) + (centered ? bias[c] : 0));
        d_weight[c] += d_out[first + c] * normalized(c);
        d_bias[c] += d_out[first + c];
        dot += d_out[first + c] * weight[c] * normalized(c) / count;
        total += centered ? d_out[first + c] * weight[c] / count : 0;
      }
      for (std::size_t c = 0; c < columns; ++c) {
        d_x.push_back(scale * (d_out[first + c] * weight[c] - total - normalized(c) * dot) +
                      d_residual[first + c]);
      }
    }
  }
};

class WideNormTest : public testing::TestWithParam<std::pair<Dtype, std::int64_t>> {
 protected:
  Tensor random(std::int64_t high, unsigned seed) {
    return device.random({high, columns}, dtype, seed);
  }
  Tensor poisoned(std::int64_t high) { return device.filled({high, columns}, dtype, NAN); }
  Tensor sums(std::int64_t high, std::int64_t wide, double value) {
    return device.filled({high, wide}, accumulator_of(dtype), value);
  }
  void expect_near(View actual, const Values& expected, const char* what) {
    const double tolerance = dtype == Dtype::f32 ? 2e-6 : dtype == Dtype::f64 ? 1e-12 : 1e-2;
    EXPECT_LE(test::relative_error(device.values(actual), expected), tolerance) << what;
  }
  Expected expected(bool centered) {
    return {device.values(x),
            device.values(residual),
            device.values(weight),
            device.values(bias),
            device.values(d_out),
            device.values(d_residual),
            centered};
  }

  Dtype dtype = GetParam().first;
  std::int64_t columns = GetParam().second;
  std::int64_t rows = columns == 8 ? kManyRows : kFewRows;
  Device device{2};
  Tensor x = random(rows, 1), residual = random(rows, 2), weight = random(1, 3),
         bias = random(1, 4), d_out = random(rows, 5), d_residual = random(rows, 6);
  Tensor sum = poisoned(rows), out = poisoned(rows), d_x = poisoned(rows);
  Tensor scale = sums(rows, 1, NAN), mean = sums(rows, 1, NAN);
  Tensor d_weight = sums(1, columns, 1), d_bias = sums(1, columns, 2);
};

Values plus(Values values, double added) {
  for (double& value : values) value += added;
  return values;
}

TEST_P(WideNormTest, RmsNormAndItsGradient) {
  device.run(RmsNorm{.x = x,
                     .residual = residual,
                     .sum = sum,
                     .weight = weight,
                     .out = out,
                     .inv_rms = scale,
                     .epsilon = kEpsilon});
  device.run(RmsNormBackward{.x = sum,
                             .weight = weight,
                             .inv_rms = scale,
                             .d_out = d_out,
                             .d_residual = d_residual,
                             .d_x = d_x,
                             .d_weight = d_weight});
  const Expected by_definition = expected(false);
  expect_near(sum, by_definition.sum, "sum");
  expect_near(out, by_definition.out, "out");
  expect_near(d_x, by_definition.d_x, "d_x");
  expect_near(d_weight, plus(by_definition.d_weight, 1), "d_weight");
}

TEST_P(WideNormTest, LayerNormAndItsGradient) {
  device.run(LayerNorm{.x = x,
                       .residual = residual,
                       .sum = sum,
                       .weight = weight,
                       .bias = bias,
                       .out = out,
                       .mean = mean,
                       .inv_std = scale,
                       .epsilon = kEpsilon});
  device.run(LayerNormBackward{.x = sum,
                               .weight = weight,
                               .mean = mean,
                               .inv_std = scale,
                               .d_out = d_out,
                               .d_residual = d_residual,
                               .d_x = d_x,
                               .d_weight = d_weight,
                               .d_bias = d_bias});
  const Expected by_definition = expected(true);
  expect_near(sum, by_definition.sum, "sum");
  expect_near(out, by_definition.out, "out");
  expect_near(d_x, by_definition.d_x, "d_x");
  expect_near(d_weight, plus(by_definition.d_weight, 1), "d_weight");
  expect_near(d_bias, plus(by_definition.d_bias, 2), "d_bias");
}

std::vector<std::pair<Dtype, std::int64_t>> every_length() {
  std::vector<std::pair<Dtype, std::int64_t>> found;
  for (const Dtype dtype : test::backend_dtypes()) {
    for (const std::int64_t columns :
         {8, 100, 128, 256, 384, 512, 640, 1001, 2048, 2051, 4096, 8192, 8200, 16648}) {
      found.emplace_back(dtype, columns);
    }
  }
  return found;
}

INSTANTIATE_TEST_SUITE_P(Lengths, WideNormTest, testing::ValuesIn(every_length()),
                         [](const auto& tested) {
                           return std::string(name_of(tested.param.first)) + "_" +
                                  std::to_string(tested.param.second);
                         });

}  // namespace
}  // namespace trireme::kernels
