// The products of kernels/cpu/amx against f64, at the borders of its blocks.
#include "kernels/cpu/amx/amx_matmul.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "tests/support/device.h"

namespace trireme::kernels {
namespace {

using test::Device;

struct Case {
  std::int64_t rows, columns, inner;
};

class AmxMatmulTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!has_amx()) GTEST_SKIP() << "this processor or system has no AMX";
  }

  // A view that is a block of columns of a wider matrix.
  static View inside(Device& device, Tensor& wide, Shape shape, Dtype dtype, unsigned seed) {
    wide = device.random({shape.rows, shape.columns + 5}, dtype, seed);
    return wide.view().column_range(3, shape.columns);
  }

  // |found - exact| / |exact| of a product, `exact` being of f64 on the same numbers.
  static double error(Device& device, Dtype dtype, Matmul op, const Case& size) {
    Tensor wide_a, wide_b, wide_out;
    const auto [m, n, k] = size;
    op.a = inside(device, wide_a, op.transpose_a ? Shape{k, m} : Shape{m, k}, dtype, 1);
    op.b = inside(device, wide_b, op.transpose_b ? Shape{n, k} : Shape{k, n}, dtype, 2);
    op.out = inside(device, wide_out, {m, n}, Dtype::f32, 3);
    const Tensor bias = device.random({1, n}, dtype, 4);
    if (op.bias) op.bias = bias;
    EXPECT_TRUE(suits_amx(op));
    const auto exact_of = [&](View view) {
      Tensor exact = device.empty(view.shape(), Dtype::f64);
      device.run(Convert{.x = view, .out = exact});
      return exact;
    };
    const Tensor a = exact_of(op.a), b = exact_of(op.b), out = exact_of(op.out);
    const Tensor exact_bias = exact_of(bias);
    Matmul exact = op;
    exact.a = a;
    exact.b = b;
    exact.out = out;
    if (op.bias) exact.bias = exact_bias;
    device.run(exact);
    const std::vector<double> around = device.values(wide_out.view().column_range(n + 3, 2));
    device.run(op);
    EXPECT_EQ(device.values(wide_out.view().column_range(n + 3, 2)), around);
    return test::relative_error(device.values(op.out), device.values(out));
  }
};

TEST_P(AmxMatmulTest, IsAsExactAsFp32) {
  Device device(2);
  float unused = 0;
  const View some(&unused, {1, 1}, Dtype::f32);
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) {
        Matmul plain;
        plain.transpose_a = transpose_a;
        plain.transpose_b = transpose_b;
        Matmul with_bias = plain, accumulating = plain;
        with_bias.bias = some;
        accumulating.accumulate = true;
        for (const Matmul& op : {plain, with_bias, accumulating}) {
          if (op.bias && dtype != Dtype::f32) continue;  // these are not added to sums
          EXPECT_LT(error(device, dtype, op, GetParam()), 5e-7)
              << name_of(dtype) << (transpose_a ? " a^T" : "") << (transpose_b ? " b^T" : "")
              << (op.bias ? " bias" : "") << (op.accumulate ? " accumulate" : "");
        }
      }
    }
  }
}

TEST_P(AmxMatmulTest, HasTheSameBitsWithAnyNumberOfThreads) {
  const auto [m, n, k] = GetParam();
  std::vector<std::vector<double>> found;
  for (const int threads : {1, 2}) {
    Device device(threads);
    const Tensor a = device.random({m, k}, Dtype::f32, 1), b = device.random({n, k}, Dtype::f32, 2);
    const Tensor out = device.filled({m, n}, Dtype::f32, NAN);
    device.run(Matmul{.a = a, .b = b, .out = out, .transpose_b = true});
    found.push_back(device.values(out));
  }
  EXPECT_EQ(found[0], found[1]);
}

// Blocks have 32 rows and columns. Packed at once are 512 inner elements, 256 lines of the larger
// factor and 2048 of the smaller one.
INSTANTIATE_TEST_SUITE_P(Sizes, AmxMatmulTest,
                         testing::Values(Case{32, 32, 32}, Case{33, 47, 65},
                                         Case{64, 300, 31 + 512}, Case{2085, 34, 40},
                                         Case{129, 129, 1025}, Case{2085, 2100, 33}),
                         [](const auto& tested) {
                           return std::to_string(tested.param.rows) + "x" +
                                  std::to_string(tested.param.columns) + "x" +
                                  std::to_string(tested.param.inner);
                         });

TEST(AmxMatmul, KeepsWhatIsNotANumber) {
  if (!has_amx()) GTEST_SKIP() << "this processor or system has no AMX";
  for (const double poison : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    Device device;
    const Tensor a = device.filled({32, 32}, Dtype::f32, 1),
                 b = device.filled({32, 32}, Dtype::f32, 1);
    const Tensor out = device.filled({32, 32}, Dtype::f32, 0);
    device.assign(a.view().row_range(5, 1).column_range(7, 1), {poison});
    device.run(Matmul{.a = a, .b = b, .out = out});
    const std::vector<double> values = device.values(out);
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(std::isfinite(values[i]), i / 32 != 5);
    }
  }
}

TEST(AmxMatmul, LeavesSmallProductsAndF64ToOthers) {
  float numbers[64 * 64] = {};
  const View view(numbers, {64, 64}, Dtype::f32);
  EXPECT_EQ(suits_amx({.a = view, .b = view, .out = view}), has_amx());
  EXPECT_FALSE(suits_amx({.a = view.row_range(0, 4), .b = view, .out = view.row_range(0, 4)}));
  View exact = view;
  exact.dtype = Dtype::f64;
  EXPECT_FALSE(suits_amx({.a = exact, .b = exact, .out = exact}));
}

}  // namespace
}  // namespace trireme::kernels
