#include "schedules/memory.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "schedules/check.h"
#include "tests/schedules/random_schedule.h"
#include "tests/schedules/written.h"

namespace trireme::schedules {
namespace {

constexpr double kRounding = 1e-9;

Schedule one_rank(int stages, int micro_batches, const std::string& actions) {
  return written(Placement::loop(1, stages), micro_batches, {actions});
}

double peak(const Schedule& schedule, const MemoryModel& model = {}) {
  return peak_memory(schedule, model).front();
}

TEST(Memory, AForwardPassHoldsAChunkUntilItsBackwardPassEnds) {
  EXPECT_DOUBLE_EQ(peak(one_rank(1, 2, "0F0 0F1 0BW0 0BW1")), 2);
  EXPECT_DOUBLE_EQ(peak(one_rank(1, 2, "0F0 0BW0 0F1 0BW1")), 1);
  // Of four chunks, three at once.
  EXPECT_DOUBLE_EQ(peak(one_rank(2, 2, "0F0 1F0 0F1 1BW0 0BW0 1F1 1BW1 0BW1")), 1.5);
}

TEST(Memory, TheInputGradientReleasesWhatTheWeightsDoNotNeed) {
  const Schedule schedule = one_rank(1, 3, "0F0 0F1 0B0 0B1 0F2 0W0 0W1 0B2 0W2");
  EXPECT_DOUBLE_EQ(peak(schedule, {.weight_fraction = 1}), 3);
  EXPECT_DOUBLE_EQ(peak(schedule, {.weight_fraction = 0.75}), 2.5);
  EXPECT_DOUBLE_EQ(peak(schedule, {.weight_fraction = 0}), 2);
}

TEST(Memory, RecomputationBringsBackWhatTheForwardPassLetGo) {
  const Schedule schedule = one_rank(1, 2, "0F0 0F1 0R0 0BW0 0R1 0BW1");
  EXPECT_DOUBLE_EQ(peak(schedule, {.recompute_fraction = 0}), 1);
  EXPECT_DOUBLE_EQ(peak(schedule, {.recompute_fraction = 0.25}), 1.25);
  EXPECT_DOUBLE_EQ(peak(schedule, {.recompute_fraction = 1}), 2);
  // Only the micro-batches that are recomputed hold less.
  EXPECT_DOUBLE_EQ(peak(one_rank(1, 2, "0F0 0F1 0R0 0BW0 0BW1"), {.recompute_fraction = 0.25}), 2);
}

// The forward pass is there before the backward pass beside it is gone.
TEST(Memory, AnOverlappedPairHoldsBoth) {
  EXPECT_DOUBLE_EQ(peak(one_rank(1, 2, "0F0 [0F1+0BW0] 0BW1")), 2);
  EXPECT_DOUBLE_EQ(peak(one_rank(1, 2, "0F0 [0BW0+0F1] 0BW1")), 2);
  EXPECT_DOUBLE_EQ(peak(one_rank(1, 2, "0F0 0BW0 0F1 0BW1")), 1);
}

TEST(Memory, IsPerRankAndInItsShare) {
  const Schedule schedule =
      written(Placement::custom({0, 1, 1}), 1, {"0F0 0BW0", "1F0 2F0 2BW0 1BW0"});
  // A rank's share is one and a half of the three stages.
  const auto peaks = peak_memory(schedule, {});
  EXPECT_NEAR(peaks[0], 1 / 1.5, kRounding);
  EXPECT_NEAR(peaks[1], 2 / 1.5, kRounding);
}

TEST(Memory, OverTimeIsAStepFunction) {
  const Schedule schedule = one_rank(1, 2, "0F0 0F1 0B0 0W0 0B1 0W1");
  const Timeline timeline = simulate(schedule, {.stages = {{1, 2, 3}}});
  const auto curve = memory_over_time(schedule, timeline, {.weight_fraction = 0.25}, 0);
  const std::vector<MemoryPoint> expected = {{0, 0}, {0, 1},    {1, 2}, {4, 1.25},
                                             {7, 1}, {9, 0.25}, {12, 0}};
  ASSERT_EQ(curve.size(), expected.size());
  for (std::size_t i = 0; i < curve.size(); ++i) {
    EXPECT_DOUBLE_EQ(curve[i].time, expected[i].time) << "point " << i;
    EXPECT_DOUBLE_EQ(curve[i].held, expected[i].held) << "point " << i;
  }
}

TEST(Memory, OverTimeReachesThePeakAndEndsAtNothing) {
  std::mt19937 dice(9);
  for (int i = 0; i < 500; ++i) {
    const Schedule schedule = random_schedule(dice);
    const MemoryModel model{.weight_fraction = fraction(dice),
                            .recompute_fraction = fraction(dice)};
    const Timeline timeline = simulate(schedule, random_costs(schedule.placement, dice));
    const auto peaks = peak_memory(schedule, model);
    for (int rank = 0; rank < schedule.placement.ranks; ++rank) {
      const auto curve = memory_over_time(schedule, timeline, model, rank);
      double most = 0, time = 0;
      for (const MemoryPoint& point : curve) {
        EXPECT_GE(point.time, time);
        EXPECT_GE(point.held, -kRounding);
        time = point.time;
        most = std::max(most, point.held);
      }
      EXPECT_NEAR(most, peaks[static_cast<std::size_t>(rank)], 1e-6);
      EXPECT_NEAR(curve.back().held, 0, kRounding);
    }
  }
}

// Letting go earlier never holds more.
TEST(Memory, GrowsWithWhatIsKept) {
  std::mt19937 dice(10);
  for (int i = 0; i < 300; ++i) {
    const Schedule schedule = random_schedule(dice);
    const auto little = peak_memory(schedule, {.weight_fraction = 0.2, .recompute_fraction = 0.1});
    const auto more = peak_memory(schedule, {.weight_fraction = 0.7, .recompute_fraction = 0.6});
    for (std::size_t rank = 0; rank < little.size(); ++rank) {
      EXPECT_LE(little[rank], more[rank] + kRounding);
    }
  }
}

TEST(Memory, NamesTheRanksThatHoldTooMuch) {
  const Schedule schedule =
      written(Placement::loop(2, 1), 2, {"0F0 0F1 0B0 0W0 0B1 0W1", "1F0 1B0 1F1 1W0 1B1 1W1"});
  EXPECT_EQ(memory_problems(schedule, {2, 2}, {}), std::vector<std::string>{});
  EXPECT_EQ(memory_problems(schedule, {2, 1.25}, {}),
            std::vector<std::string>{"rank 1 holds 2 micro-batches, its limit is 1.25"});
  EXPECT_EQ(memory_problems(schedule, {1, 1.25}, {.weight_fraction = 0.5}),
            (std::vector<std::string>{"rank 0 holds 2 micro-batches, its limit is 1",
                                      "rank 1 holds 1.5 micro-batches, its limit is 1.25"}));
}

}  // namespace
}  // namespace trireme::schedules
