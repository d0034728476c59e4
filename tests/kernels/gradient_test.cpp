// Gradients of the operations that are not products against their formulas in double precision, in
// every dtype, for more rows and columns than a block of threads has.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/of_every_dtype.h"

namespace trireme::kernels {
namespace {

constexpr std::int64_t kRows = 150, kColumns = 301;
constexpr double kEpsilon = 1e-3;

class GradientTest : public OfEveryDtype {
 protected:
  // Gradients of parameters are added to what is there.
  Tensor random_accumulator(std::int64_t rows, std::int64_t columns, unsigned seed) {
    return device.random({rows, columns}, accumulator_of(GetParam()), seed);
  }

  void expect_activations(std::int64_t columns) {
    const Tensor gate = random(kRows, columns, 1), up = random(kRows, columns, 2),
                 d_out = random(kRows, columns, 3);
    const Values g = device.values(gate), u = device.values(up), d = device.values(d_out);
    Values d_gate, d_up, d_gelu;
    for (std::size_t i = 0; i < g.size(); ++i) {
      const double sigmoid = 1 / (1 + std::exp(-g[i]));
      d_gate.push_back(d[i] * u[i] * sigmoid * (1 + g[i] * (1 - sigmoid)));
      d_up.push_back(d[i] * g[i] * sigmoid);
      const double root = std::sqrt(2 / M_PI);
      const double t = std::tanh(root * (g[i] + 0.044715 * std::pow(g[i], 3)));
      d_gelu.push_back(d[i] * (0.5 * (1 + t) +
                               0.5 * g[i] * (1 - t * t) * root * (1 + 3 * 0.044715 * g[i] * g[i])));
    }
    const Tensor found_gate = like(gate), found_up = like(up), found_gelu = like(gate);
    device.run(SwiGluBackward{
        .gate = gate, .up = up, .d_out = d_out, .d_gate = found_gate, .d_up = found_up});
    device.run(GeluBackward{.x = gate, .d_out = d_out, .d_x = found_gelu});
    expect_near(found_gate, d_gate, "d_gate");
    expect_near(found_up, d_up, "d_up");
    expect_near(found_gelu, d_gelu, "gelu");
  }

  static std::size_t at(std::int64_t r, std::int64_t c) {
    return static_cast<std::size_t>(r * kColumns + c);
  }
};

// Of one norm, or of both: without centering, the mean is 0.
struct NormReference {
  Values mean, scale, d_x, d_weight, d_bias;

  NormReference(const Values& x, const Values& weight, const Values& d_out,
                const Values& d_residual, bool centered)
      : d_weight(weight.size(), 0.0), d_bias(weight.size(), 0.0) {
    const double n = static_cast<double>(kColumns);
    for (std::int64_t r = 0; r < kRows; ++r) {
      const auto of = [&](std::int64_t c) { return static_cast<std::size_t>(r * kColumns + c); };
      double sum = 0, squares = 0;
      for (std::int64_t c = 0; c < kColumns; ++c) sum += x[of(c)];
      mean.push_back(centered ? sum / n : 0.0);
      for (std::int64_t c = 0; c < kColumns; ++c) squares += std::pow(x[of(c)] - mean.back(), 2);
      scale.push_back(1 / std::sqrt(squares / n + kEpsilon));
      double dot = 0, total = 0;
      const auto normalized = [&](std::int64_t c) {
        return (x[of(c)] - mean.back()) * scale.back();
      };
      for (std::int64_t c = 0; c < kColumns; ++c) {
        const auto column = static_cast<std::size_t>(c);
        const double d = d_out[of(c)] * weight[column];
        dot += d * normalized(c) / n;
        total += centered ? d / n : 0.0;
        d_weight[column] += d_out[of(c)] * normalized(c);
        d_bias[column] += d_out[of(c)];
      }
      for (std::int64_t c = 0; c < kColumns; ++c) {
        const double d = d_out[of(c)] * weight[static_cast<std::size_t>(c)];
        d_x.push_back(scale.back() * (d - total - normalized(c) * dot) + d_residual[of(c)]);
      }
    }
  }
};

Values added(Values a, const Values& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

TEST_P(GradientTest, RmsNorm) {
  const Tensor x = random(kRows, kColumns, 1), weight = random(1, kColumns, 2);
  const Tensor d_out = random(kRows, kColumns, 3), d_residual = random(kRows, kColumns, 4);
  const NormReference expected(device.values(x), device.values(weight), device.values(d_out),
                               device.values(d_residual), false);
  const Tensor inv_rms = device.tensor({kRows, 1}, accumulator_of(GetParam()), expected.scale);
  const Tensor d_x = like(x), d_weight = random_accumulator(1, kColumns, 5);
  const Values before = device.values(d_weight);
  device.run(RmsNormBackward{.x = x,
                             .weight = weight,
                             .inv_rms = inv_rms,
                             .d_out = d_out,
                             .d_residual = d_residual,
                             .d_x = d_x,
                             .d_weight = d_weight});
  expect_near(d_x, expected.d_x, "d_x");
  expect_near(d_weight, added(before, expected.d_weight), "d_weight");
}

TEST_P(GradientTest, LayerNorm) {
  const Tensor x = random(kRows, kColumns, 1), weight = random(1, kColumns, 2);
  const Tensor d_out = random(kRows, kColumns, 3);
  const NormReference expected(device.values(x), device.values(weight), device.values(d_out),
                               Values(static_cast<std::size_t>(kRows * kColumns), 0.0), true);
  const Dtype exact = accumulator_of(GetParam());
  const Tensor mean = device.tensor({kRows, 1}, exact, expected.mean),
               inv_std = device.tensor({kRows, 1}, exact, expected.scale);
  const Tensor d_x = like(x), d_weight = random_accumulator(1, kColumns, 5),
               d_bias = random_accumulator(1, kColumns, 6);
  const Values weight_before = device.values(d_weight), bias_before = device.values(d_bias);
  device.run(LayerNormBackward{.x = x,
                               .weight = weight,
                               .mean = mean,
                               .inv_std = inv_std,
                               .d_out = d_out,
                               .d_x = d_x,
                               .d_weight = d_weight,
                               .d_bias = d_bias});
  expect_near(d_x, expected.d_x, "d_x");
  expect_near(d_weight, added(weight_before, expected.d_weight), "d_weight");
  expect_near(d_bias, added(bias_before, expected.d_bias), "d_bias");
}

TEST_P(GradientTest, Activations) {
  // Rows that devices read 16 bytes at a time, and rows that they cannot.
  for (const std::int64_t columns : {kColumns, std::int64_t{304}}) expect_activations(columns);
}

TEST_P(GradientTest, EmbeddingOfManyTokensWithFewIds) {
  const std::int64_t tokens = 700, columns = 1100, vocabulary = 6;
  std::vector<std::int32_t> ids;
  for (std::int32_t t = 0; t < tokens; ++t) ids.push_back(t * t % 8);  // 6 and 7: another rank's
  const Tensor d_out = random(tokens, columns, 1),
               d_table = random_accumulator(vocabulary, columns, 2);
  const Values d = device.values(d_out);
  Values expected = device.values(d_table);
  for (std::size_t t = 0; t < ids.size(); ++t) {
    if (ids[t] >= vocabulary) continue;
    for (std::size_t c = 0; c < 1100; ++c) {
      expected[static_cast<std::size_t>(ids[t]) * 1100 + c] += d[t * 1100 + c];
    }
  }
  device.run(EmbeddingBackward{.ids = device.ids(ids), .d_out = d_out, .d_table = d_table});
  expect_near(d_table, expected, "d_table");
}

TEST_P(GradientTest, SumsOfColumns) {
  const Tensor x = random(kRows, kColumns, 1), out = random_accumulator(1, kColumns, 2);
  const Values values = device.values(x);
  Values expected = device.values(out);
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kColumns; ++c) {
      expected[static_cast<std::size_t>(c)] += values[at(r, c)];
    }
  }
  device.run(ColumnSum{.x = x, .out = out});
  expect_near(out, expected, "sums");
}

INSTANTIATE_TEST_SUITE_P(Dtypes, GradientTest, testing::ValuesIn(test::backend_dtypes()),
                         [](const auto& dtype) { return std::string(name_of(dtype.param)); });

}  // namespace
}  // namespace trireme::kernels
