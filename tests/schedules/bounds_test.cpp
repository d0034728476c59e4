#include <gtest/gtest.h>

#include "schedules/simulate.h"
#include "tests/schedules/generators.h"
#include "tests/schedules/random_schedule.h"

namespace trireme::schedules {
namespace {

constexpr double kRounding = 1e-9;

TEST(LowerBounds, AddUpWhatALoneMicroBatchNeeds) {
  // One micro-batch there and back: 1 + 10 + 2 + 3 + 3 + 10 + 5, and a weight gradient of 7 or 4.
  const Costs costs{.stages = {{1, 5, 7}, {2, 3, 4}}, .communication = 10};
  const Placement placement = Placement::loop(2, 1);
  EXPECT_DOUBLE_EQ(makespan_lower_bound(placement, 1, costs), 1 + 10 + 2 + 3 + 10 + 5 + 7);
  EXPECT_DOUBLE_EQ(span_lower_bound(placement, 1, costs), 1 + 10 + 2 + 3 + 10 + 5 + 7);
}

TEST(LowerBounds, AddUpTheWorkOfTheBusiestRankAndItsFirstWait) {
  const Costs costs{.stages = {{1, 1, 1}, {2, 3, 4}}, .communication = 10};
  const Placement placement = Placement::loop(2, 1);
  EXPECT_DOUBLE_EQ(makespan_lower_bound(placement, 100, costs), 1 + 10 + 900);
  EXPECT_DOUBLE_EQ(span_lower_bound(placement, 100, costs), 900);
}

// m T + (p - 1) (F / v + c), and for two directions m T + (p / 2 - 1) (F + c).
TEST(LowerBounds, AreTheClosedFormsOfEvenCosts) {
  const StageCost share{1, 1.2, 0.8};
  const double message = 0.05;
  const auto bound = [&](const Placement& placement, int micro_batches) {
    return makespan_lower_bound(placement, micro_batches, Costs::even(placement, share, message));
  };
  for (const int p : {1, 2, 3, 4, 8}) {
    const int m = 6 * p;
    for (const int v : {1, 2, 3, 4}) {
      const double expected = 3 * m + (p - 1) * (share.forward / v + message);
      EXPECT_NEAR(bound(Placement::loop(p, v), m), expected, kRounding);
      EXPECT_NEAR(bound(Placement::v(p, v), m), expected, kRounding);
    }
    if (p % 2 != 0) continue;
    EXPECT_NEAR(bound(Placement::bidirectional(p), m),
                3 * m + (p / 2.0 - 1) * (share.forward + message), kRounding);
  }
}

TEST(LowerBounds, AreReached) {
  const Schedule no_bubble = zb_v({4, 12, 2, 0});
  const Costs unit = Costs::even(no_bubble.placement, {1, 1, 1});
  EXPECT_NEAR(simulate(no_bubble, unit).span(), span_lower_bound(no_bubble.placement, 12, unit),
              kRounding);
  EXPECT_NEAR(simulate(no_bubble, unit).makespan(),
              makespan_lower_bound(no_bubble.placement, 12, unit), kRounding);
  const Schedule alone = one_f_one_b({5, 1, 1, 0});
  const Costs uneven = {.stages = {{1, 2, 9}, {2, 3, 4}, {3, 1, 2}, {1, 1, 1}, {2, 2, 2}},
                        .communication = 0.5};
  Schedule halves = alone;
  for (auto& actions : halves.ranks) {
    Action weight = actions.back();
    actions.back().pass = Pass::backward_input;
    weight.pass = Pass::backward_weight;
    actions.push_back(weight);
  }
  EXPECT_NEAR(simulate(halves, uneven).makespan(), makespan_lower_bound(alone.placement, 1, uneven),
              kRounding);
}

void expect_bounded(const Schedule& schedule, const Costs& costs) {
  const Timeline timeline = simulate(schedule, costs);
  const int micro_batches = schedule.micro_batches;
  EXPECT_GE(timeline.makespan(),
            makespan_lower_bound(schedule.placement, micro_batches, costs) - kRounding);
  EXPECT_GE(timeline.span(),
            span_lower_bound(schedule.placement, micro_batches, costs) - kRounding);
}

TEST(LowerBounds, AreBelowEveryRandomSchedule) {
  std::mt19937 dice(3);
  for (int i = 0; i < 2000; ++i) {
    const Schedule schedule = random_schedule(dice);
    SCOPED_TRACE(testing::Message() << "schedule " << i);
    expect_bounded(schedule, random_costs(schedule.placement, dice));
  }
}

TEST(LowerBounds, AreBelowEveryGeneratedSchedule) {
  std::mt19937 dice(4);
  for (const Generator& generator : generators()) {
    for (const PipelineShape& shape : shapes_of(generator, 6, 12)) {
      SCOPED_TRACE(generator.name + ", " + text_of(shape));
      const Schedule schedule = generator.generate(shape);
      for (int i = 0; i < 4; ++i) expect_bounded(schedule, random_costs(schedule.placement, dice));
    }
  }
}

}  // namespace
}  // namespace trireme::schedules
