#include "tests/cuda_on_cpu/threads.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace trireme::cuda_on_cpu {
namespace {

TEST(Threads, AreAllThoseOfTheGrid) {
  std::vector<int> seen(2 * 3 * 70, 0);
  run_grid({2, 3, 1}, {70, 1, 1}, [&] {
    ++seen[(block_index.y * grid_size.x + block_index.x) * block_size.x + thread_index.x];
  });
  EXPECT_EQ(seen, std::vector<int>(2 * 3 * 70, 1));
}

TEST(Threads, SeeWhatOthersWroteBeforeTheBarrier) {
  std::vector<unsigned> values(100), found(100);
  run_grid({1, 1, 1}, {100, 1, 1}, [&] {
    for (unsigned round = 0; round < 5; ++round) {
      values[thread_index.x] = thread_index.x + round;
      wait_for_block();
      found[thread_index.x] = values[99 - thread_index.x];
      wait_for_block();
    }
  });
  for (unsigned i = 0; i < 100; ++i) EXPECT_EQ(found[i], 99 - i + 4);
}

TEST(Threads, GiveToTheirWarp) {
  std::vector<unsigned> found(64);
  run_grid({1, 1, 1}, {64, 1, 1}, [&] {
    unsigned sum = thread_index.x;
    for (unsigned lanes = 16; lanes > 0; lanes /= 2) {
      give_to_warp(&sum, sizeof sum);
      sum += *static_cast<const unsigned*>(given_by(thread_index.x % kWarpSize ^ lanes));
    }
    found[thread_index.x] = sum;
  });
  for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(found[i], i < 32 ? 496u : 1520u);
}

TEST(Threads, ThatEndedAreNotWaitedFor) {
  int left = 0;
  run_grid({1, 1, 1}, {96, 1, 1}, [&] {
    if (thread_index.x >= 32) return;
    wait_for_block();
    ++left;
  });
  EXPECT_EQ(left, 32);
}

TEST(Threads, ThatWaitAtDifferentBarriersAreFound) {
  const auto stuck = [] {
    run_grid({1, 1, 1}, {32, 1, 1}, [] {
      if (thread_index.x == 7) {
        wait_for_warp();
      } else {
        wait_for_block();
      }
    });
  };
  EXPECT_THROW(stuck(), std::logic_error);
}

}  // namespace
}  // namespace trireme::cuda_on_cpu
