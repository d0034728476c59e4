// 10,000 programs made by chance, run at a random pace.
#include <gtest/gtest.h>

#include "tests/runtime/random_passes.h"

namespace trireme::runtime {
namespace {

class ManyPrograms : public testing::TestWithParam<int> {};

TEST_P(ManyPrograms, NeverHang) {
  std::mt19937 dice(static_cast<std::uint32_t>(100 + GetParam()));
  for (int i = 0; i < 500; ++i) {
    SCOPED_TRACE(i);
    run_at_random_pace(random_program(dice), static_cast<std::uint32_t>(i),
                       {.shape = {8, 64}, .dtype = kernels::Dtype::f32});
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ManyPrograms, testing::Range(0, 20));

}  // namespace
}  // namespace trireme::runtime
