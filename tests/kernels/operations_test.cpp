// Every operation against a plain definition in double precision, in every dtype, at odd sizes and
// with strided operands.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/kernels/of_every_dtype.h"

namespace trireme::kernels {
namespace {

using test::Device;
using test::relative_error;
class OperationTest : public OfEveryDtype {};

TEST_P(OperationTest, Matmul) {
  const std::int64_t rows = 37, columns = 45, inner = 29;
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      for (const bool accumulate : {false, true}) {
        const Tensor a = transpose_a ? random(inner, rows, 1) : random(rows, inner, 1);
        const Tensor b = transpose_b ? random(columns, inner, 2) : random(inner, columns, 2);
        const Tensor biases = random(1, columns + 3, 3);  // one among others, aligned to nothing
        const View bias = biases.view().column_range(3, columns);
        const Tensor out =
            accumulate ? random(rows, columns, 4) : device.filled({rows, columns}, GetParam(), NAN);
        const Values x = device.values(a), y = device.values(b), z = device.values(bias);
        Values expected =
            accumulate ? device.values(out) : Values(static_cast<std::size_t>(rows * columns), 0.0);
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t c = 0; c < columns; ++c) {
            double& sum = expected[static_cast<std::size_t>(r * columns + c)];
            sum += z[static_cast<std::size_t>(c)];
            for (std::int64_t k = 0; k < inner; ++k) {
              sum += x[static_cast<std::size_t>(transpose_a ? k * rows + r : r * inner + k)] *
                     y[static_cast<std::size_t>(transpose_b ? c * inner + k : k * columns + c)];
            }
          }
        }
        device.run(Matmul{.a = a,
                          .b = b,
                          .out = out,
                          .bias = bias,
                          .transpose_a = transpose_a,
                          .transpose_b = transpose_b,
                          .accumulate = accumulate});
        expect_near(out, expected);
      }
    }
  }
}

TEST_P(OperationTest, MatmulOfAColumnBlockIntoAnAccumulator) {
  const Tensor wide = random(20, 50, 1);
  const View a = wide.view().column_range(10, 16);
  const Tensor b = random(20, 8, 2);
  const Tensor out = accumulator(16, 8, 1);
  const Values x = device.values(a), y = device.values(b);
  Values expected(16 * 8, 1.0);
  for (std::size_t r = 0; r < 16; ++r) {
    for (std::size_t c = 0; c < 8; ++c) {
      for (std::size_t k = 0; k < 20; ++k) expected[r * 8 + c] += x[k * 16 + r] * y[k * 8 + c];
    }
  }
  device.run(Matmul{.a = a, .b = b, .out = out, .transpose_a = true, .accumulate = true});
  expect_near(out, expected);
}

TEST_P(OperationTest, AddAndColumnSum) {
  const Tensor a = random(67, 13, 1), b = random(67, 13, 2);
  const Values x = device.values(a), y = device.values(b);
  const Tensor out = like(a);
  Values sum, columns(13, 5.0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum.push_back(x[i] + y[i]);
    columns[i % 13] += x[i];
  }
  device.run(Add{.a = a, .b = b, .out = out});
  expect_near(out, sum);
  const Tensor total = accumulator(1, 13, 5.0);
  device.run(ColumnSum{.x = a, .out = total});
  expect_near(total, columns);
}

TEST_P(OperationTest, ColumnSumOfManyRowsAndOfColumnsAmongOthers) {
  const std::int64_t rows = 300;
  const Tensor x = random(rows, 280, 1);
  for (const std::int64_t first : {0, 8, 1}) {
    const View part = x.view().column_range(first, 272);
    const Values found = device.values(part);
    Values expected(272, 5.0);
    for (std::size_t i = 0; i < found.size(); ++i) expected[i % 272] += found[i];
    const Tensor total = accumulator(1, 272, 5.0);
    device.run(ColumnSum{.x = part, .out = total});
    expect_near(total, expected);
  }
}

TEST_P(OperationTest, ConvertToAndFromEveryDtype) {
  const Tensor x = random(5, 48, 1);
  for (const Dtype other : {Dtype::f64, Dtype::f32, Dtype::bf16, Dtype::f16}) {
    for (const auto& [first, columns] : {std::pair{0, 48}, {8, 32}, {3, 37}}) {
      const View part = x.view().column_range(first, columns);
      const Tensor there = device.filled(part.shape(), other, NAN), back = like(part);
      device.run(Convert{.x = part, .out = there});
      device.run(Convert{.x = there, .out = back});
      const double rounding = std::max(tolerance(), other == Dtype::bf16 ? 4e-3 : 1e-3);
      EXPECT_LE(relative_error(device.values(there), device.values(part)), rounding);
      EXPECT_EQ(relative_error(device.values(back), device.values(there)), 0)
          << "what was rounded to the narrower is left as it is";
    }
  }
}

TEST_P(OperationTest, NormsWithResidual) {
  const std::int64_t rows = 41, columns = 19;
  const Tensor x = random(rows, columns, 1), residual = random(rows, columns, 2);
  const Tensor weight = random(1, columns, 3), bias = random(1, columns, 4);
  const Values a = device.values(x), b = device.values(residual), w = device.values(weight),
               z = device.values(bias);
  Values rms, layer, sums;
  for (std::int64_t r = 0; r < rows; ++r) {
    double squares = 0, mean = 0, variance = 0;
    for (std::int64_t c = 0; c < columns; ++c) {
      const auto i = static_cast<std::size_t>(r * columns + c);
      sums.push_back(a[i] + b[i]);
      squares += sums[i] * sums[i] / static_cast<double>(columns);
      mean += sums[i] / static_cast<double>(columns);
    }
    variance = squares - mean * mean;
    for (std::int64_t c = 0; c < columns; ++c) {
      const double s = sums[static_cast<std::size_t>(r * columns + c)];
      const auto column = static_cast<std::size_t>(c);
      rms.push_back(w[column] * s / std::sqrt(squares + 1e-3));
      layer.push_back(w[column] * (s - mean) / std::sqrt(variance + 1e-3) + z[column]);
    }
  }
  const Tensor sum = like(x), out = like(x), scale = accumulator(rows, 1),
               mean = accumulator(rows, 1);
  device.run(RmsNorm{.x = x,
                     .residual = residual,
                     .sum = sum,
                     .weight = weight,
                     .out = out,
                     .inv_rms = scale,
                     .epsilon = 1e-3});
  expect_near(sum, sums);
  expect_near(out, rms);
  device.run(LayerNorm{.x = x,
                       .residual = residual,
                       .sum = sum,
                       .weight = weight,
                       .bias = bias,
                       .out = out,
                       .mean = mean,
                       .inv_std = scale,
                       .epsilon = 1e-3});
  expect_near(sum, sums);
  expect_near(out, layer);
}

TEST_P(OperationTest, SwiGluAndGelu) {
  const Tensor both = random(23, 34, 1);
  const View gate = both.view().column_range(0, 17), up = both.view().column_range(17, 17);
  const Values g = device.values(gate), u = device.values(up);
  Values swiglu, gelu;
  for (std::size_t i = 0; i < g.size(); ++i) {
    swiglu.push_back(g[i] / (1 + std::exp(-g[i])) * u[i]);
    gelu.push_back(0.5 * g[i] *
                   (1 + std::tanh(std::sqrt(2 / M_PI) * (g[i] + 0.044715 * g[i] * g[i] * g[i]))));
  }
  const Tensor out = device.filled({23, 17}, GetParam(), NAN);
  device.run(SwiGlu{.gate = gate, .up = up, .out = out});
  expect_near(out, swiglu);
  device.run(Gelu{.x = gate, .out = out});
  expect_near(out, gelu);
}

TEST_P(OperationTest, RopeTurnsPairsAndBack) {
  for (const std::int64_t half : {3, 4, 8}) {
    const std::int64_t columns = 3 * 2 * half;
    const Tensor x = random(10, columns, 1);
    const Values before = device.values(x), angles = Device::random_values(5 * half, 2);
    Values cosines, sines, expected(before);
    for (const double angle : angles) {
      cosines.push_back(std::cos(angle));
      sines.push_back(std::sin(angle));
    }
    for (std::int64_t t = 0; t < 10; ++t) {
      for (std::int64_t head = 0; head < 3; ++head) {
        for (std::int64_t i = 0; i < half; ++i) {
          const auto a = static_cast<std::size_t>(t * columns + head * 2 * half + i),
                     b = a + static_cast<std::size_t>(half),
                     angle = static_cast<std::size_t>(t % 5 * half + i);
          expected[a] = before[a] * cosines[angle] - before[b] * sines[angle];
          expected[b] = before[b] * cosines[angle] + before[a] * sines[angle];
        }
      }
    }
    const Tensor cos = device.tensor({5, half}, accumulator_of(GetParam()), cosines);
    const Tensor sin = device.tensor({5, half}, accumulator_of(GetParam()), sines);
    Rope turn{.x = x, .cos = cos, .sin = sin, .sequence = 5, .head_dim = 2 * half};
    device.run(turn);
    expect_near(x, expected);
    turn.inverse = true;
    device.run(turn);
    expect_near(x, before);
  }
}

TEST_P(OperationTest, SquaredNormAddsUp) {
  const Tensor x = random(3, 20000, 1), out = device.filled({1, 1}, Dtype::f64, 2);
  double expected = 2;
  for (const double value : device.values(x)) expected += value * value;
  device.run(SquaredNorm{.x = x, .out = out});
  EXPECT_NEAR(device.values(out)[0], expected, 1e-10 * expected);
}

TEST_P(OperationTest, SquaredNormOfRowsAmongOthers) {
  const Tensor x = random(5, 3001, 1);
  const View part = x.view().column_range(0, 2999);
  double expected = 0;
  for (const double value : device.values(part)) expected += value * value;
  const Tensor out = device.filled({1, 1}, Dtype::f64, 0);
  device.run(SquaredNorm{.x = part, .out = out});
  EXPECT_NEAR(device.values(out)[0], expected, 1e-10 * expected);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, OperationTest, testing::ValuesIn(test::backend_dtypes()),
                         [](const auto& dtype) { return std::string(name_of(dtype.param)); });

TEST(Operations, RefuseOperandsThatDoNotFit) {
  Device device;
  const Tensor a = device.empty({4, 6}, Dtype::f32), b = device.empty({5, 6}, Dtype::f32);
  const Tensor half = device.empty({4, 6}, Dtype::bf16);
  EXPECT_THROW(device.run(Add{.a = a, .b = b, .out = a}), ContractViolation);
  EXPECT_THROW(device.run(Add{.a = a, .b = half, .out = a}), ContractViolation);
  EXPECT_THROW(device.run(Matmul{.a = a, .b = b, .out = a}), ContractViolation);
  EXPECT_THROW(device.run(SwiGlu{.gate = a, .up = a, .out = b}), ContractViolation);
}

}  // namespace
}  // namespace trireme::kernels
