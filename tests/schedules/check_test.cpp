#include "schedules/check.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/schedules/error_of.h"
#include "tests/schedules/generators.h"
#include "tests/schedules/random_schedule.h"
#include "tests/schedules/written.h"

namespace trireme::schedules {
namespace {

using Texts = std::vector<std::string>;

Texts problems_with(int micro_batches, const Texts& ranks) {
  return problems_of(
      written(Placement::loop(static_cast<int>(ranks.size()), 1), micro_batches, ranks));
}

TEST(Check, FindsNothingWrongWithASchedule) {
  EXPECT_EQ(problems_with(2, {"0F0 0F1 0BW0 0BW1", "1F0 1BW0 1F1 1BW1"}), Texts{});
  EXPECT_EQ(problems_with(1, {"0F0 0R0 0B0 0W0"}), Texts{});
  EXPECT_EQ(problems_with(2, {"0F0 [0BW0+0F1] 0R1 0BW1"}), Texts{});
  EXPECT_NO_THROW(check(one_f_one_b({4, 8, 1, 0})));
}

TEST(Check, FindsAMissingForwardPass) {
  EXPECT_EQ(problems_with(2, {"0F0 0F1 0BW0 0BW1", "1F0 1BW0 1BW1"}),
            Texts{"1F1 on rank 1 is missing"});
}

TEST(Check, FindsABackwardPassThatIsMissingOrTwofold) {
  const std::string rule = ": it takes either BW or both B and W";
  const std::string where = "stage 0 on rank 0, micro-batch 0 has ";
  EXPECT_EQ(problems_with(1, {"0F0"}), Texts{where + "no backward pass" + rule});
  EXPECT_EQ(problems_with(1, {"0F0 0B0"}), Texts{where + "B" + rule});
  EXPECT_EQ(problems_with(1, {"0F0 0W0"}), Texts{where + "W" + rule});
  EXPECT_EQ(problems_with(1, {"0F0 0BW0 0W0"}), Texts{where + "BW W" + rule});
  EXPECT_EQ(problems_with(1, {"0F0 0BW0 0B0"}), Texts{where + "BW B" + rule});
  EXPECT_EQ(problems_with(1, {"0F0 0BW0 0B0 0W0"}), Texts{where + "BW B W" + rule});
}

TEST(Check, FindsAnActionThatIsThereTwice) {
  EXPECT_EQ(problems_with(2, {"0F0 0F1 0BW0 0F1 0BW1"}),
            Texts{"0F1 on rank 0 is there twice, at positions 1 and 3"});
  EXPECT_EQ(problems_with(1, {"0F0 0B0 0W0 0W0"}),
            Texts{"0W0 on rank 0 is there twice, at positions 2 and 3"});
}

TEST(Check, FindsAnActionOnTheWrongRank) {
  EXPECT_EQ(problems_with(1, {"0F0 0BW0 1F0", "1BW0"}),
            Texts{"1F0 on rank 0: the placement puts stage 1 on rank 1"});
  // The second half of the micro-batches runs on the other copy of the model.
  Schedule both_ways = dual_pipe({2, 4, 1, 0});
  std::swap(both_ways.ranks[0], both_ways.ranks[1]);
  const Texts problems = problems_of(both_ways);
  EXPECT_NE(std::find(problems.begin(), problems.end(),
                      "1F0 on rank 0: the placement puts stage 1 on rank 1"),
            problems.end());
  EXPECT_NE(std::find(problems.begin(), problems.end(),
                      "0F2 on rank 0: the placement puts stage 0 on rank 1"),
            problems.end());
}

TEST(Check, FindsStagesAndMicroBatchesThatDoNotExist) {
  const std::string rule = ": stages go from 0 to 0, micro-batches from 0 to 1";
  EXPECT_EQ(problems_with(2, {"0F0 0F1 0BW0 0BW1 1F0 0F2"}),
            (Texts{"1F0 on rank 0" + rule, "0F2 on rank 0" + rule}));
  Schedule schedule = one_f_one_b({1, 2, 1, 0});
  schedule.ranks[0][0].stage = -1;
  EXPECT_EQ(problems_of(schedule), Texts{"-1F0 on rank 0" + rule});
  schedule.ranks[0][0] = {.micro_batch = -5};
  EXPECT_EQ(problems_of(schedule), Texts{"0F-5 on rank 0" + rule});
}

TEST(Check, FindsPassesInTheWrongOrder) {
  EXPECT_EQ(problems_with(1, {"0BW0 0F0"}), Texts{"0BW0 on rank 0 is before 0F0, which it needs"});
  EXPECT_EQ(problems_with(1, {"0F0 0W0 0B0"}),
            Texts{"0W0 on rank 0 is before 0B0, which it needs"});
  EXPECT_EQ(problems_with(1, {"0R0 0F0 0BW0"}),
            Texts{"0R0 on rank 0 is before 0F0, which it needs"});
  EXPECT_EQ(problems_with(1, {"0F0 0B0 0R0 0W0"}),
            Texts{"0B0 on rank 0 is before 0R0, which it needs"});
}

TEST(Check, FindsPairsThatAreNone) {
  const std::string rule = ": a pair is one forward and one backward pass";
  EXPECT_EQ(problems_with(2, {"[0F0+0F1] 0BW0 0BW1"}), Texts{"0F0 on rank 0 overlaps 0F1" + rule});
  EXPECT_EQ(problems_with(2, {"0F0 0F1 [0BW0+0BW1]"}),
            Texts{"0BW0 on rank 0 overlaps 0BW1" + rule});
  EXPECT_EQ(problems_with(1, {"[0F0+0BW0]"}),
            Texts{"0F0 on rank 0 overlaps 0BW0, one of which needs the other"});
  Schedule open_end = one_f_one_b({1, 1, 1, 0});
  open_end.ranks[0].back().overlaps_next = true;
  EXPECT_EQ(problems_of(open_end), Texts{"0BW0 on rank 0 overlaps nothing" + rule});
  Schedule three = written(Placement::loop(1, 1), 3, {"0F0 0F1 0BW0 0F2 0BW1 0BW2"});
  three.ranks[0][1].overlaps_next = three.ranks[0][2].overlaps_next = true;
  EXPECT_EQ(problems_of(three), Texts{"0F1 on rank 0 overlaps 0BW0" + rule});
}

TEST(Check, FindsACycleThroughOneRank) {
  EXPECT_EQ(problems_of(written(Placement::loop(1, 2), 1, {"1F0 0F0 1BW0 0BW0"})),
            Texts{"ranks wait for each other for ever: 1F0 on rank 0 waits for 0F0 on rank 0 waits "
                  "for 1F0"});
}

TEST(Check, FindsACycleAcrossRanksAndNamesItsActions) {
  const Texts problems = problems_with(2, {"0F0 0BW0 0F1 0BW1", "1F1 1F0 1BW0 1BW1"});
  ASSERT_EQ(problems.size(), 1u);
  expect_says(problems[0], "ranks wait for each other for ever: ");
  for (const char* step : {"0F1 on rank 0 waits for 0BW0", "0BW0 on rank 0 waits for 1BW0",
                           "1F1 on rank 1 waits for 0F1", "1F0 on rank 1 waits for 1F1"}) {
    expect_says(problems[0], step);
  }
}

// 0F1 waits for nothing itself, but 0BW0 beside it does.
TEST(Check, FindsACycleThroughAPair) {
  EXPECT_EQ(
      problems_of(written(Placement::loop(2, 1), 2, {"0F0 [0F1+0BW0] 0BW1", "1F0 1F1 1BW0 1BW1"})),
      Texts{"ranks wait for each other for ever: 0F1 on rank 0 waits for 1BW0 on rank 1 waits "
            "for 1F1 on rank 1 waits for 0F1"});
}

TEST(Check, FindsTablesWithoutAShape) {
  Schedule schedule = one_f_one_b({2, 2, 1, 0});
  schedule.ranks.pop_back();
  EXPECT_EQ(problems_of(schedule), Texts{"the placement has 2 ranks, the table has 1"});
  EXPECT_EQ(problems_of({}),
            Texts{"a schedule needs at least one rank, one stage and one micro-batch"});
  Schedule odd = dual_pipe({2, 4, 1, 0});
  odd.micro_batches = 5;
  EXPECT_EQ(problems_of(odd), Texts{"5 micro-batches do not divide over 2 copies of the model"});
}

TEST(Check, SaysEverythingAtOnceButNotForEver) {
  EXPECT_EQ(problems_with(2, {"0F0 0BW1", "1F0 1BW0 1F1 1W1"}).size(), 3u);
  EXPECT_EQ(error_of([] {
              check(written(Placement::loop(2, 1), 1, {"0F0", "1BW0"}));
            }),
            "this is not a schedule that can run:\n"
            "  stage 0 on rank 0, micro-batch 0 has no backward pass: it takes either BW or both B "
            "and W\n"
            "  1F0 on rank 1 is missing");
  Schedule empty = one_f_one_b({4, 100, 1, 0});
  for (auto& actions : empty.ranks) actions.clear();
  const Texts problems = problems_of(empty);
  EXPECT_EQ(problems.size(), 21u);
  EXPECT_EQ(problems.back(), "and 780 more");
}

TEST(Check, DescribesACycle) {
  EXPECT_EQ(describe_cycle({{"0F0", 0}, {"1F0", 1}}),
            "1F0 on rank 1 waits for 0F0 on rank 0 waits for 1F0");
}

TEST(Check, FindsNothingWrongWithRandomSchedules) {
  std::mt19937 dice(12);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(problems_of(random_schedule(dice)), Texts{});
}

bool is_plain(const Schedule& schedule) {
  for (const auto& actions : schedule.ranks) {
    for (const Action& action : actions) {
      if (action.overlaps_next || action.pass == Pass::recompute) return false;
    }
  }
  return true;
}

// A schedule without problems can be played, and one that cannot be played has some. What has all
// its actions, neither pairs nor recomputations, and can be played has none: the check and the
// simulation are written independently.
void expect_agreement(const Schedule& schedule, const Costs& costs) {
  const Texts problems = problems_of(schedule);
  std::string refusal;
  try {
    simulate(schedule, costs);
  } catch (const ScheduleError& error) {
    refusal = error.what();
  }
  if (problems.empty() || is_plain(schedule)) {
    EXPECT_EQ(problems.empty(), refusal.empty())
        << schedule_text(schedule) << (problems.empty() ? refusal : problems[0]);
  }
}

// Two actions of a rank change places: either that is found, or the result still runs.
TEST(Check, FindsEverySwapThatMatters) {
  std::mt19937 dice(13);
  int found = 0, harmless = 0;
  for (int i = 0; i < 40; ++i) {
    const Schedule schedule = random_schedule(dice);
    const Costs costs = random_costs(schedule.placement, dice);
    for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
      const std::size_t actions = schedule.ranks[rank].size();
      for (int swaps = 0; swaps < 60; ++swaps) {
        Schedule mutant = schedule;
        auto& list = mutant.ranks[rank];
        std::swap(list[dice() % actions], list[dice() % actions]);
        problems_of(mutant).empty() ? ++harmless : ++found;
        expect_agreement(mutant, costs);
      }
    }
  }
  EXPECT_GT(found, 1000);
  EXPECT_GT(harmless, 300);
}

TEST(Check, FindsEverySwapOfNeighborsInGeneratedSchedules) {
  for (const Generator& generator : generators()) {
    for (const PipelineShape& shape : shapes_of(generator, 4, 8)) {
      if (shape.micro_batches % 4 != 0) continue;
      SCOPED_TRACE(generator.name + ", " + text_of(shape));
      Schedule schedule = generator.generate(shape);
      const Costs costs = Costs::even(schedule.placement, {});
      for (auto& actions : schedule.ranks) {
        for (std::size_t i = 1; i < actions.size(); ++i) {
          std::swap(actions[i - 1], actions[i]);
          expect_agreement(schedule, costs);
          std::swap(actions[i - 1], actions[i]);
        }
      }
    }
  }
}

// An action that is gone, there twice, or another one is always found.
TEST(Check, FindsEveryChangedAction) {
  std::mt19937 dice(14);
  for (int i = 0; i < 300; ++i) {
    const Schedule schedule = random_schedule(dice);
    const std::size_t rank = dice() % schedule.ranks.size();
    const std::size_t at = dice() % schedule.ranks[rank].size();
    const auto position = static_cast<std::ptrdiff_t>(at);
    const Action action = schedule.ranks[rank][at];
    SCOPED_TRACE(to_text(action) + " of\n" + schedule_text(schedule));
    const auto expect_found = [&](const auto& change) {
      Schedule mutant = schedule;
      change(mutant.ranks[rank]);
      EXPECT_NE(problems_of(mutant), Texts{});
    };
    expect_found([&](auto& list) { list.insert(list.begin() + position, action); });
    if (action.pass == Pass::recompute) continue;  // any micro-batch may do with or without
    expect_found([&](auto& list) { list[at].stage += 1; });
    expect_found([&](auto& list) { list[at].micro_batch -= 1; });
    expect_found([&](auto& list) { list.erase(list.begin() + position); });
  }
}

}  // namespace
}  // namespace trireme::schedules
