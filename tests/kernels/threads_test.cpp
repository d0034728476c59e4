#include <gtest/gtest.h>

#include "tests/support/device.h"

namespace trireme::kernels {
namespace {

using test::Device;
using Values = std::vector<double>;

TEST(Operations, GiveTheSameBitsOnAnyNumberOfThreads) {
  Values first;
  for (const int threads : {1, 2, 3}) {
    Device device(threads);
    const Tensor x = device.random({200, 96}, Dtype::f32, 1),
                 d = device.random({200, 96}, Dtype::f32, 2);
    const Tensor weight = device.random({1, 96}, Dtype::f32, 3),
                 scale = device.empty({200, 1}, Dtype::f32);
    const Tensor out = device.empty({200, 96}, Dtype::f32),
                 sum = device.filled({1, 96}, Dtype::f32, 0);
    const Tensor norm = device.filled({1, 1}, Dtype::f64, 0);
    device.run(RmsNorm{.x = x, .weight = weight, .out = out, .inv_rms = scale});
    device.run(RmsNormBackward{
        .x = x, .weight = weight, .inv_rms = scale, .d_out = d, .d_x = out, .d_weight = sum});
    device.run(SquaredNorm{.x = out, .out = norm});
    Values all = device.values(out);
    for (const View view : {View(sum), View(norm)}) {
      const Values more = device.values(view);
      all.insert(all.end(), more.begin(), more.end());
    }
    if (first.empty()) first = all;
    EXPECT_EQ(all, first) << threads << " threads";
  }
}

}  // namespace
}  // namespace trireme::kernels
