#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/device.h"

namespace trireme::kernels {

using Values = std::vector<double>;

// A test of operations in each dtype that the backend under test computes in.
class OfEveryDtype : public testing::TestWithParam<Dtype> {
 protected:
  static double tolerance() {
    switch (GetParam()) {
      case Dtype::f64: return 1e-13;
      case Dtype::f32: return 1e-6;
      case Dtype::f16: return 2e-3;
      default: return 1e-2;
    }
  }

  // Numbers that the dtype holds exactly, so that only the operation rounds.
  Tensor random(std::int64_t rows, std::int64_t columns, unsigned seed) {
    return device.random({rows, columns}, GetParam(), seed);
  }
  Tensor like(View view) { return device.filled(view.shape(), view.dtype, NAN); }
  Tensor accumulator(std::int64_t rows, std::int64_t columns, double value = NAN) {
    return device.filled({rows, columns}, accumulator_of(GetParam()), value);
  }
  void expect_near(View actual, const Values& expected, const char* what = "") {
    EXPECT_LE(test::relative_error(device.values(actual), expected), tolerance()) << what;
  }

  test::Device device{2};
};

}  // namespace trireme::kernels
