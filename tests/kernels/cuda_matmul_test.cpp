// Which of cuBLASLt's algorithms a product takes.
#include <cublasLt.h>
#include <gtest/gtest.h>

#include "tests/support/device.h"

namespace trireme::kernels {
namespace {

using test::Device;

class CudaMatmulTest : public testing::Test {
 protected:
  CudaMatmulTest() { lt_algorithms = {6, -1, 1, 6}; }
  ~CudaMatmulTest() override { lt_algorithms = {0}; }

  // The algorithm that a product was made with.
  int used(std::int64_t rows) {
    const Tensor a = device.filled({rows, 4}, Dtype::f32, 1),
                 b = device.filled({4, 3}, Dtype::f32, 1),
                 out = device.filled({rows, 3}, Dtype::f32, 2);
    device.run(Matmul{.a = a, .b = b, .out = out, .accumulate = true});
    for (const double sum : device.values(out)) EXPECT_EQ(sum, 6) << "added once";
    return lt_last_algorithm;
  }

  Device device;
};

TEST_F(CudaMatmulTest, TakesTheFirstAlgorithm) {
  EXPECT_EQ(used(5), 0);
  EXPECT_EQ(used(5), 0);
}

TEST_F(CudaMatmulTest, WorksWithMemoryThatIsAccountedForAndGivenBack) {
  device.backend->reset_memory_peaks();
  used(5);
  EXPECT_EQ(device.backend->memory().of(Category::workspace).peak, 4096);
  EXPECT_EQ(device.backend->memory().of(Category::workspace).current, 0);
}

TEST_F(CudaMatmulTest, TriesMoreWaysWhereFewerWereTried) {
  device.backend->try_ways(2);
  EXPECT_NE(used(5), 2) << "the third";
  device.backend->try_ways(3);
  EXPECT_EQ(used(5), 2);
  device.backend->try_ways(2);
  EXPECT_EQ(used(5), 2);
}

TEST_F(CudaMatmulTest, TakesTheFastestThatCanDoItWhenWaysAreTried) {
  EXPECT_EQ(used(5), 0);
  const auto in_use = [&] { return device.backend->memory().total.current; };
  const std::int64_t before = in_use();
  device.backend->try_ways(8);
  EXPECT_EQ(used(5), 2) << "known before, but not tried";
  EXPECT_EQ(in_use(), before) << "what trying took";
  EXPECT_EQ(used(6), 2);
  device.backend->try_ways(0);
  EXPECT_EQ(used(5), 2);
  EXPECT_EQ(used(6), 2);
  EXPECT_EQ(used(7), 0);
}

}  // namespace
}  // namespace trireme::kernels
