#include "schedules/simulate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "tests/schedules/error_of.h"
#include "tests/schedules/random_schedule.h"
#include "tests/schedules/written.h"

namespace trireme::schedules {
namespace {

constexpr double kRounding = 1e-9;

// "0-1 1-3": when each action of a rank runs.
std::string times_of(const Timeline& timeline, std::size_t rank) {
  std::ostringstream text;
  for (const Interval& interval : timeline.actions[rank]) {
    text << (text.tellp() > 0 ? " " : "") << interval.start << "-" << interval.end;
  }
  return text.str();
}

TEST(Simulate, StartsAnActionWhenItsRankIsFreeAndItsInputsAreThere) {
  const Schedule schedule =
      written(Placement::loop(2, 1), 2, {"0F0 0F1 0B0 0W0 0B1 0W1", "1F0 1B0 1F1 1W0 1B1 1W1"});
  const Costs costs{.stages = {{1, 2, 3}, {4, 5, 6}}, .communication = 0.5};
  const Timeline timeline = simulate(schedule, costs);
  // 1F0 waits for 0F0 and half a unit more, 0B0 for 1B0, 0B1 for 1B1; nothing else waits.
  EXPECT_EQ(times_of(timeline, 0), "0-1 1-2 11-13 13-16 26-28 28-31");
  EXPECT_EQ(times_of(timeline, 1), "1.5-5.5 5.5-10.5 10.5-14.5 14.5-20.5 20.5-25.5 25.5-31.5");
}

TEST(Simulate, AWholeBackwardPassHandsItsGradientOverAtItsEnd) {
  const Schedule schedule = written(Placement::loop(2, 1), 1, {"0F0 0BW0", "1F0 1BW0"});
  const Timeline timeline = simulate(schedule, {.stages = {{1, 2, 3}, {4, 5, 6}}});
  EXPECT_EQ(times_of(timeline, 1), "1-5 5-16");
  EXPECT_EQ(times_of(timeline, 0), "0-1 16-21");
}

TEST(Simulate, HandsOverForNothingOnOneRank) {
  const Schedule schedule = written(Placement::v(2), 1, {"0F0 3F0 3BW0 0BW0", "1F0 2F0 2BW0 1BW0"});
  const Timeline timeline =
      simulate(schedule, {.stages = std::vector<StageCost>(4), .communication = 10});
  EXPECT_EQ(times_of(timeline, 0), "0-1 23-24 24-26 50-52");
  EXPECT_EQ(times_of(timeline, 1), "11-12 12-13 36-38 38-40");
}

TEST(Simulate, PlaysAnyPlacement) {
  const Schedule schedule =
      written(Placement::custom({0, 1, 0}), 1, {"0F0 2F0 2BW0 0BW0", "1F0 1BW0"});
  const Timeline timeline = simulate(schedule, {.stages = {{1, 1, 1}, {7, 1, 1}, {1, 1, 1}}});
  EXPECT_EQ(times_of(timeline, 0), "0-1 8-9 9-11 13-15");
}

TEST(Simulate, AnOverlappedPairWaitsForBothAndEndsAtOnce) {
  const Schedule schedule =
      written(Placement::loop(2, 1), 2, {"0F0 0F1 0BW0 0BW1", "1F0 [1F1+1BW0] 1BW1"});
  const Costs costs{.stages = {{2, 1, 1}, {1, 2, 3}}, .communication = 0, .overlap = 0.5};
  const Timeline timeline = simulate(schedule, costs);
  // The pair waits for 0F1, and takes half of 1 + 5.
  EXPECT_EQ(times_of(timeline, 1), "2-3 4-7 4-7 7-12");
  EXPECT_EQ(times_of(timeline, 0), "0-2 2-4 7-9 12-14");
  EXPECT_DOUBLE_EQ(timeline.busy[1], 9);
}

TEST(Simulate, ARecomputationWaitsForNobodyElse) {
  const Schedule schedule = written(Placement::loop(2, 1), 1, {"0F0 0R0 0B0 0W0", "1F0 1BW0"});
  const Costs costs{.stages = {{1, 2, 3, 5}, {4, 4, 4, 4}}};
  const Timeline timeline = simulate(schedule, costs);
  EXPECT_EQ(times_of(timeline, 0), "0-1 1-6 13-15 15-18");
}

TEST(Simulate, MeasuresMakespanSpanAndBubbles) {
  const Schedule schedule = written(Placement::loop(2, 1), 1, {"0F0 0BW0", "1F0 1BW0"});
  const Timeline timeline = simulate(schedule, {.stages = {{1, 1, 1}, {1, 4, 4}}});
  EXPECT_DOUBLE_EQ(timeline.first_start(1), 1);
  EXPECT_DOUBLE_EQ(timeline.last_end(1), 10);
  EXPECT_DOUBLE_EQ(timeline.makespan(), 12);
  EXPECT_DOUBLE_EQ(timeline.span(), 12);
  EXPECT_DOUBLE_EQ(timeline.bubble_fraction(), 0.5);
  EXPECT_DOUBLE_EQ(timeline.span_bubble_fraction(), 0.25);
  // The rank that starts late is late at the end too: each of them waits for nothing.
  const Schedule weights_last = written(Placement::loop(2, 1), 1, {"0F0 0B0 0W0", "1F0 1B0 1W0"});
  const Timeline shifted = simulate(weights_last, {.stages = {{4, 1, 1}, {1, 1, 8}}});
  EXPECT_DOUBLE_EQ(shifted.makespan(), 14);
  EXPECT_DOUBLE_EQ(shifted.span(), 10);
}

TEST(Simulate, SpreadsTheCostsOfARankOverItsChunks) {
  const Costs costs = Costs::even(Placement::loop(2, 4), {4, 8, 12, 2}, 0.25);
  ASSERT_EQ(costs.stages.size(), 8u);
  for (const StageCost& stage : costs.stages) {
    EXPECT_DOUBLE_EQ(stage.of(Pass::forward), 1);
    EXPECT_DOUBLE_EQ(stage.of(Pass::backward_input), 2);
    EXPECT_DOUBLE_EQ(stage.of(Pass::backward_weight), 3);
    EXPECT_DOUBLE_EQ(stage.of(Pass::backward), 5);
    EXPECT_DOUBLE_EQ(stage.of(Pass::recompute), 0.5);
    EXPECT_DOUBLE_EQ(stage.whole(), 6);
  }
  EXPECT_DOUBLE_EQ(costs.communication, 0.25);
  EXPECT_DOUBLE_EQ(costs.overlap, 1);
}

TEST(Simulate, NamesTheFirstActionThatCanNeverStart) {
  const Schedule schedule =
      written(Placement::loop(2, 1), 2, {"0F0 0BW0 0F1 0BW1", "1F1 1BW1 1F0 1BW0"});
  EXPECT_EQ(error_of([&] { simulate(schedule, {.stages = std::vector<StageCost>(2)}); }),
            "the order of actions can never finish:\n  rank 0 waits before 0BW0\n"
            "  rank 1 waits before 1F1");
}

TEST(Simulate, TellsTheCycleOfAnOverlappedPair) {
  // Nothing is missing but the pair's own result.
  const Schedule schedule = written(Placement::loop(1, 2), 1, {"[0F0+1BW0] 1F0 0BW0"});
  EXPECT_EQ(error_of([&] { simulate(schedule, {.stages = std::vector<StageCost>(2)}); }),
            "the order of actions can never finish:\n  rank 0 waits before 0F0");
}

TEST(Traffic, CountsMessagesAndThoseThatWait) {
  const Schedule schedule =
      written(Placement::loop(2, 1), 2, {"0F0 0F1 0BW0 0BW1", "1F0 1BW0 1F1 1BW1"});
  const Costs costs{.stages = {{1, 1, 1}, {4, 1, 1}}, .communication = 0.5};
  const Traffic found = traffic(schedule, costs, simulate(schedule, costs));
  EXPECT_EQ(found.messages, 4);
  EXPECT_EQ(found.sent, (std::vector{2, 2}));
  // The second activation is on rank 1 from 2.5 on, while 1F0 runs until 5.5.
  EXPECT_EQ(found.waiting_at_most, (std::vector{0, 1}));
}

// Slower passes and messages never make a schedule faster.
TEST(Simulate, TakesNoLessTimeIfSomethingTakesMore) {
  std::mt19937 dice(5);
  for (int i = 0; i < 300; ++i) {
    const Schedule schedule = random_schedule(dice);
    Costs costs = random_costs(schedule.placement, dice);
    const double before = simulate(schedule, costs).makespan();
    costs.communication += 0.1;
    EXPECT_GE(simulate(schedule, costs).makespan(), before - kRounding);
    costs.stages[dice() % costs.stages.size()].backward_input += 1;
    EXPECT_GE(simulate(schedule, costs).makespan(), before - kRounding);
  }
}

// Twice the costs, twice the time.
TEST(Simulate, IsLinear) {
  std::mt19937 dice(6);
  for (int i = 0; i < 100; ++i) {
    const Schedule schedule = random_schedule(dice);
    Costs costs = random_costs(schedule.placement, dice);
    const Timeline once = simulate(schedule, costs);
    costs.communication *= 2;
    for (StageCost& stage : costs.stages) {
      stage = {2 * stage.forward, 2 * stage.backward_input, 2 * stage.backward_weight,
               2 * stage.recompute};
    }
    const Timeline twice = simulate(schedule, costs);
    EXPECT_NEAR(twice.makespan(), 2 * once.makespan(), kRounding);
    EXPECT_NEAR(twice.span(), 2 * once.span(), kRounding);
    if (once.makespan() == 0) continue;
    EXPECT_NEAR(twice.bubble_fraction(), once.bubble_fraction(), kRounding);
  }
}

// An action starts at the end of the one before it on its rank, or when an input arrives.
TEST(Simulate, LeavesNoTimeUnusedWithoutAReason) {
  std::mt19937 dice(7);
  for (int i = 0; i < 300; ++i) {
    const Schedule schedule = random_schedule(dice);
    const Costs costs = random_costs(schedule.placement, dice);
    const Timeline timeline = simulate(schedule, costs);
    std::vector<double> ends;
    for (const auto& rank : timeline.actions) {
      for (const Interval& interval : rank) ends.push_back(interval.end);
    }
    const auto is_end = [&](double time) {
      return std::any_of(ends.begin(), ends.end(),
                         [&](double end) { return std::abs(end - time) < kRounding; });
    };
    for (const auto& rank : timeline.actions) {
      for (std::size_t k = 0; k < rank.size(); ++k) {
        const double start = rank[k].start;
        EXPECT_TRUE(start == 0 || is_end(start) || is_end(start - costs.communication));
        const bool pair = k > 0 && rank[k].start == rank[k - 1].start;
        EXPECT_TRUE(k == 0 || pair || start >= rank[k - 1].end - kRounding);
      }
    }
  }
}

}  // namespace
}  // namespace trireme::schedules
