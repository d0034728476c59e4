#include "runtime/model/tensor_parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/device.h"
#include "tests/support/ranks.h"

namespace trireme::runtime {
namespace {

using kernels::Dtype;
using kernels::Tensor;

bool reached_soon(const kernels::Event& event) {
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!event.reached() && std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return event.reached();
}

// With the sequence shared or not.
class TensorParallelTest : public testing::TestWithParam<bool> {
 protected:
  // Each rank's summand for four tokens of two channels.
  static Tensor summand(test::Device& device, int rank) {
    return device.tensor({4, 2}, Dtype::f64, rank == 0 ? kFirst : kSecond);
  }

  // What a rank has of (4, 2) values.
  static std::vector<double> share(const std::vector<double>& all, int rank) {
    if (!GetParam()) return all;
    const auto first = all.begin() + rank * 4;
    return {first, first + 4};
  }

  static inline const std::vector<double> kFirst{1, 2, 3, 4, 5, 6, 7, 8};
  static inline const std::vector<double> kSecond{10, 20, 30, 40, 50, 60, 70, 80};
  static inline const std::vector<double> kSums{11, 22, 33, 44, 55, 66, 77, 88};
};

TEST_P(TensorParallelTest, WorkBehindABegunSumDoesNotWaitForTheOtherRank) {
  std::atomic<bool> worked = false;
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    TensorParallel ranks(*device.backend, world, GetParam());
    Tensor mine = summand(device, world.rank());
    if (world.rank() == 1) {
      while (!worked) std::this_thread::yield();
    }
    auto sum = ranks.begin_sum(*device.stream, std::move(mine));
    if (world.rank() == 0) {
      EXPECT_TRUE(reached_soon(*device.stream->record()));
      worked = true;
    }
    EXPECT_EQ(device.values(sum.finish()), share(kSums, world.rank()));
  });
}

TEST_P(TensorParallelTest, WhatIsBegunAndWhatIsNotKeepTheirOrder) {
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    TensorParallel ranks(*device.backend, world, GetParam());
    const std::vector<double> all{1, 2, 3, 4, 5, 6, 7, 8};
    const Tensor tokens =
        device.tensor({GetParam() ? 2 : 4, 2}, Dtype::f64, share(all, world.rank()));
    auto begun = ranks.begin_gather(*device.stream, tokens);
    auto sum = ranks.begin_sum(*device.stream, summand(device, world.rank()));
    const Tensor direct = ranks.sum(*device.stream, summand(device, world.rank()));
    EXPECT_EQ(device.values(direct), share(kSums, world.rank()));
    EXPECT_EQ(device.values(sum.finish()), share(kSums, world.rank()));
    EXPECT_EQ(device.values(begun.finish().all), all);
  });
}

// Memory would leave under the collective otherwise.
TEST_P(TensorParallelTest, WhatIsDroppedIsFinishedFirst) {
  std::atomic<bool> dropped = false;
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    TensorParallel ranks(*device.backend, world, GetParam());
    Tensor mine = summand(device, world.rank());
    if (world.rank() == 1) {
      while (!dropped) std::this_thread::yield();
    }
    { const auto forgotten = ranks.begin_sum(*device.stream, std::move(mine)); }
    const auto behind = device.stream->record();
    if (world.rank() == 0) {
      EXPECT_FALSE(behind->reached());
      dropped = true;
    }
    device.stream->synchronize();
    EXPECT_EQ(device.backend->memory().of(kernels::Category::activations).current, 0);
  });
}

INSTANTIATE_TEST_SUITE_P(Sequence, TensorParallelTest, testing::Bool());

}  // namespace
}  // namespace trireme::runtime
