#include "schedules/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "schedules/text.h"
#include "tests/schedules/error_of.h"
#include "tests/schedules/generators.h"
#include "tests/schedules/random_puzzle.h"
#include "tests/schedules/search_targets.h"

namespace trireme::schedules {
namespace {

constexpr double kLittle = 0.002;  // effort, for what does not depend on it
constexpr double kRounding = 1e-9;
using Texts = std::vector<std::string>;

Schedule search(const Puzzle& puzzle, const std::vector<Schedule>& seeds = {}) {
  return search_schedule(puzzle.placement, puzzle.micro_batches, puzzle.costs, puzzle.goal, seeds);
}

// Every kind of target among them; the whole is in search_long_test.cpp.
TEST(Search, ReachesASampleOfTheKnownBest) {
  const auto all = golden("schedule_targets.json");
  int number = 0, searched = 0;
  for (const auto& shape : all.at("shapes")) {
    if (shape.at("p").get<int>() > 8) continue;
    for (const Target& target : targets_of(shape)) {
      if (number++ % 29 != 0) continue;
      for (const Objective objective : {Objective::makespan, Objective::span}) {
        expect_reached(target, objective, /*effort=*/0.1);
        ++searched;
      }
    }
  }
  EXPECT_GT(searched, 60);
}

TEST(Search, FindsSchedulesThatRunAndFit) {
  std::mt19937 dice(21);
  for (int i = 0; i < 150; ++i) {
    const Puzzle puzzle = random_puzzle(dice);
    const Schedule found = search(puzzle);
    SCOPED_TRACE(testing::Message() << "puzzle " << i << "\n" << schedule_text(found));
    ASSERT_EQ(problems_of(found), Texts{});
    EXPECT_EQ(found.placement.rank_of, puzzle.placement.rank_of);
    EXPECT_EQ(found.micro_batches, puzzle.micro_batches);
    EXPECT_TRUE(fits(found, puzzle.goal));
    EXPECT_GE(
        objective_of(simulate(found, puzzle.costs), puzzle.goal.objective),
        lower_bound(puzzle.placement, puzzle.micro_batches, puzzle.costs, puzzle.goal.objective) -
            kRounding);
  }
}

TEST(Search, IsNeverWorseThanASeedThatFits) {
  std::mt19937 dice(22);
  int seeds_that_fit = 0;
  for (int i = 0; i < 60; ++i) {
    const int ranks = between(1, 5, dice), micro_batches = between(1, 12, dice);
    const bool v = happens(0.5, dice);
    const PipelineShape shape{ranks, micro_batches, 2, 0};
    std::vector<Schedule> seeds = {interleaved(shape), interleaved_zb(shape),
                                   interleaved_zb_h2(shape), looped_bfs(shape)};
    if (v) seeds = {zb_v(shape), v_half(shape), v_min(shape), one_f_one_b_v(shape)};
    Puzzle puzzle{.placement = seeds[0].placement,
                  .micro_batches = micro_batches,
                  .costs = random_costs(seeds[0].placement, dice),
                  .goal = {.memory_limit = {1 + ranks * fraction(dice)}, .effort = kLittle}};
    puzzle.costs.overlap = 1;
    for (const Objective objective : {Objective::makespan, Objective::span}) {
      puzzle.goal.objective = objective;
      const double found = objective_of(simulate(search(puzzle, seeds), puzzle.costs), objective);
      for (const Schedule& seed : seeds) {
        if (!fits(seed, puzzle.goal)) continue;
        ++seeds_that_fit;
        EXPECT_LE(found, objective_of(simulate(seed, puzzle.costs), objective) + kRounding)
            << seed.kind << ", " << text_of(shape);
      }
    }
  }
  EXPECT_GT(seeds_that_fit, 100);
}

// Any order at all may be a seed; the limit is what it holds itself.
TEST(Search, IsNeverWorseThanARandomSeed) {
  std::mt19937 dice(25);
  for (int i = 0; i < 200; ++i) {
    Puzzle puzzle = random_puzzle(dice);
    puzzle.goal.effort = 1e-9;
    Schedule seed = random_schedule(puzzle.placement, puzzle.micro_batches, dice);
    for (auto& actions : seed.ranks) {
      std::erase_if(actions, [](const Action& action) { return action.pass == Pass::recompute; });
    }
    SCOPED_TRACE(testing::Message() << "puzzle " << i << "\n" << schedule_text(seed));
    const double given = objective_of(simulate(seed, puzzle.costs), puzzle.goal.objective);
    const auto held = peak_memory(seed, {.weight_fraction = puzzle.goal.weight_fraction});
    for (const auto& limits : {std::vector<double>{}, held}) {
      puzzle.goal.memory_limit = limits;
      const Schedule found = search(puzzle, {seed});
      EXPECT_LE(objective_of(simulate(found, puzzle.costs), puzzle.goal.objective),
                given + kRounding);
      EXPECT_TRUE(fits(found, puzzle.goal));
    }
  }
}

// What a long search has found is kept by a short one that starts from it.
TEST(Search, KeepsASeedThatItCannotImprove) {
  std::mt19937 dice(24);
  for (int i = 0; i < 30; ++i) {
    Puzzle puzzle = random_puzzle(dice);
    puzzle.goal.effort = 0.01;
    const Schedule seed = search(puzzle);
    puzzle.goal.effort = 1e-9;
    puzzle.goal.seed += 1;
    const Schedule found = search(puzzle, {seed});
    EXPECT_LE(objective_of(simulate(found, puzzle.costs), puzzle.goal.objective),
              objective_of(simulate(seed, puzzle.costs), puzzle.goal.objective) + kRounding)
        << "puzzle " << i;
    // Less memory than the seed needs: it may not be kept.
    const auto smallest = smallest_feasible_memory(puzzle.placement);
    puzzle.goal.memory_limit = {*std::max_element(smallest.begin(), smallest.end())};
    EXPECT_TRUE(fits(search(puzzle, {seed}), puzzle.goal)) << "puzzle " << i;
  }
}

TEST(Search, FindsTheSameScheduleForTheSameSeed) {
  std::mt19937 dice(23);
  for (int i = 0; i < 20; ++i) {
    const Puzzle puzzle = random_puzzle(dice);
    EXPECT_EQ(search(puzzle).ranks, search(puzzle).ranks) << "puzzle " << i;
  }
}

TEST(Search, FindsMoreWithMoreEffort) {
  Puzzle puzzle{.placement = Placement::loop(4, 2), .micro_batches = 12, .costs = {}, .goal = {}};
  puzzle.costs = Costs::even(puzzle.placement, {1, 1.2, 0.8}, 0.05);
  puzzle.goal.memory_limit = {5};
  const auto makespan = [&](double effort) {
    puzzle.goal.effort = effort;
    return simulate(search(puzzle), puzzle.costs).makespan();
  };
  EXPECT_LT(makespan(0.05), makespan(1e-6));
}

// One micro-batch of one, two and three stages on three ranks, of two stages on average.
TEST(Search, RefusesLimitsBelowOneMicroBatch) {
  Puzzle puzzle{.placement = Placement::custom({0, 1, 2, 2, 1, 2}),
                .micro_batches = 3,
                .costs = {},
                .goal = {}};
  puzzle.costs = Costs::even(puzzle.placement, {});
  puzzle.goal.effort = kLittle;
  EXPECT_EQ(smallest_feasible_memory(puzzle.placement), (std::vector<double>{0.5, 1, 1.5}));
  puzzle.goal.memory_limit = {1.25};
  EXPECT_EQ(error_of([&] { search(puzzle); }),
            "memory limit 1.25 on rank 2: the smallest feasible one is 1.5, what one micro-batch "
            "holds until its backward pass");
  puzzle.goal.memory_limit = {0.5, 0.75, 1.5};
  EXPECT_EQ(error_of([&] { search(puzzle); }),
            "memory limit 0.75 on rank 1: the smallest feasible one is 1, what one micro-batch "
            "holds until its backward pass");
  puzzle.goal.memory_limit = {0.5, 1, 1.5};
  EXPECT_TRUE(fits(search(puzzle), puzzle.goal));
}

TEST(Search, RespectsTheLimitOfEachRank) {
  const Placement placement = Placement::loop(4, 1);
  const std::vector<double> limits = {2, 1, 3, 1.5};
  const Schedule found =
      search_schedule(placement, 8, Costs::even(placement, {}),
                      {.memory_limit = limits, .weight_fraction = 0.5, .effort = 0.02}, {});
  EXPECT_EQ(memory_problems(found, limits, {.weight_fraction = 0.5}), Texts{});
  // All but the scarce one would be better off with more.
  const Schedule free = search_schedule(placement, 8, Costs::even(placement, {}),
                                        {.memory_limit = {}, .effort = 0.02}, {});
  EXPECT_GT(simulate(found, Costs::even(placement, {})).makespan(),
            simulate(free, Costs::even(placement, {})).makespan());
}

TEST(Search, TakesOneLimitOrOnePerRank) {
  EXPECT_EQ(limits_of({.memory_limit = {}}, 2),
            (std::vector<double>(2, std::numeric_limits<double>::infinity())));
  EXPECT_EQ(limits_of({.memory_limit = {3}}, 2), (std::vector<double>{3, 3}));
  EXPECT_EQ(limits_of({.memory_limit = {3, 4}}, 2), (std::vector<double>{3, 4}));
  EXPECT_EQ(error_of([] {
              limits_of({.memory_limit = {3, 4, 5}}, 2);
            }),
            "memory limits for 3 ranks: give one, or 2, one per rank");
  const Placement placement = Placement::loop(3, 1);
  expect_says(error_of([&] {
                search_schedule(placement, 2, Costs::even(placement, {}),
                                {.memory_limit = {3, 4}, .effort = kLittle}, {});
              }),
              "give one, or 3, one per rank");
}

TEST(Search, MeasuresWhatItMinimizes) {
  const Schedule schedule = zb_v({4, 12, 2, 0});
  const Costs costs = Costs::even(schedule.placement, {}, 0.1);
  const Timeline timeline = simulate(schedule, costs);
  EXPECT_EQ(objective_of(timeline, Objective::makespan), timeline.makespan());
  EXPECT_EQ(objective_of(timeline, Objective::span), timeline.span());
  EXPECT_EQ(lower_bound(schedule.placement, 12, costs, Objective::makespan),
            makespan_lower_bound(schedule.placement, 12, costs));
  EXPECT_EQ(lower_bound(schedule.placement, 12, costs, Objective::span),
            span_lower_bound(schedule.placement, 12, costs));
}

}  // namespace
}  // namespace trireme::schedules
