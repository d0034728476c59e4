#include "schedules/passes.h"

#include <gtest/gtest.h>

#include <map>

#include "schedules/check.h"
#include "schedules/generate.h"
#include "schedules/memory.h"
#include "schedules/text.h"
#include "tests/schedules/every_kind.h"

namespace trireme::schedules {
namespace {

Schedule one_rank(const std::string& actions, int micro_batches) {
  return {.kind = "test",
          .placement = Placement::loop(1, 1),
          .micro_batches = micro_batches,
          .ranks = {parse_rank(actions, "")}};
}

TEST(SplitBackward, MakesTwoHalvesOfEveryWholePass) {
  EXPECT_EQ(rank_text(split_backward(one_rank("0F0 0BW0 0F1 0B1 0W1", 2)).ranks[0]),
            "0F0 0B0 0W0 0F1 0B1 0W1");
}

TEST(SplitBackward, LeavesPairsAlone) {
  const std::string pair = "0F0 [0F1+0BW0] 0BW1";
  EXPECT_EQ(rank_text(split_backward(one_rank(pair, 2)).ranks[0]), "0F0 [0F1+0BW0] 0B1 0W1");
}

TEST(TakePairsApart, RunsOneAfterTheOther) {
  const std::string pairs = "0F0 [0F1+0BW0] [0BW1+0F2] 0BW2";
  EXPECT_EQ(rank_text(take_pairs_apart(one_rank(pairs, 3)).ranks[0]), "0F0 0F1 0BW0 0BW1 0F2 0BW2");
}

TEST(TakePairsApart, NeverMakesAStepLongerOrLarger) {
  for (const auto& [name, schedule] : every_kind()) {
    const Schedule apart = take_pairs_apart(schedule);
    EXPECT_TRUE(problems_of(apart).empty()) << name;
    EXPECT_EQ(deadlock_of(lower(apart)), "") << name;
    const Costs costs = Costs::even(schedule.placement, {2, 3, 1}, 0.25);
    EXPECT_LE(simulate(apart, costs).makespan(), simulate(schedule, costs).makespan() + 1e-9)
        << name;
    const auto whole = peak_memory(schedule, {}), parted = peak_memory(apart, {});
    for (std::size_t rank = 0; rank < whole.size(); ++rank) {
      EXPECT_LE(parted[rank], whole[rank] + 1e-9) << name;
    }
  }
}

// Of a pair that ends together the first result waits for the second pass, on every rank.
TEST(TakePairsApart, ShortensDualPipe) {
  for (const Schedule& schedule : {dual_pipe({8, 24, 1, 0}), dual_pipe_v({8, 24, 2, 0})}) {
    const Costs costs = Costs::even(schedule.placement, {20, 20, 20}, 0.67);
    EXPECT_LT(simulate(take_pairs_apart(schedule), costs).makespan(),
              0.97 * simulate(schedule, costs).makespan())
        << schedule.kind;
  }
}

TEST(MergeBackward, JoinsNeighborsOfOneMicroBatchOnly) {
  EXPECT_EQ(rank_text(merge_backward(one_rank("0F0 0F1 0B0 0W0 0B1 0F2 0W1 0B2 0W2", 3)).ranks[0]),
            "0F0 0F1 0BW0 0B1 0F2 0W1 0BW2");
}

TEST(MergeBackward, UndoesSplitBackward) {
  for (const auto& [name, schedule] : every_kind()) {
    const Schedule split = split_backward(schedule);
    EXPECT_TRUE(problems_of(split).empty()) << name;
    const Schedule merged = merge_backward(split);
    EXPECT_TRUE(problems_of(merged).empty()) << name;
    EXPECT_EQ(merge_backward(schedule).ranks, merged.ranks) << name;
  }
}

TEST(MergeFreeSplits, KeepsEverySplitThatPays) {
  const Schedule schedule = split_backward(one_f_one_b({.ranks = 4, .micro_batches = 8}));
  const Costs costs = Costs::even(schedule.placement, {});
  const double before = simulate(schedule, costs).makespan();
  EXPECT_GT(simulate(merge_backward(schedule), costs).makespan(), before + 1e-9);
  const Schedule merged = merge_free_splits(schedule, costs, Objective::makespan);
  EXPECT_NEAR(simulate(merged, costs).makespan(), before, 1e-9);
  EXPECT_TRUE(problems_of(merged).empty());
  EXPECT_EQ(merged.ranks[0], merge_backward(schedule).ranks[0]) << "nobody waits for rank 0";
  EXPECT_GT(merged.ranks[3].size(), merge_backward(schedule).ranks[3].size());
}

TEST(MergeFreeSplits, MergesAllOfAScheduleThatGainsNothing) {
  const Schedule split = split_backward(one_f_one_b({.ranks = 1, .micro_batches = 5}));
  const Costs costs = Costs::even(split.placement, {});
  EXPECT_EQ(merge_free_splits(split, costs, Objective::span).ranks, merge_backward(split).ranks);
}

TEST(ParameterCommunication, GathersBeforeTheFirstUseAndReducesAfterTheLastGradient) {
  using Kind = Instruction::Kind;
  for (const auto& [name, schedule] : every_kind()) {
    const Program program = with_parameter_communication(lower(schedule));
    for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
      std::map<int, int> gathered, reduced, gradients;  // per stage
      for (const Action& action : schedule.ranks[rank]) {
        if (action.gives_weight_gradient()) ++gradients[action.stage];
      }
      for (const Instruction& instruction : program.ranks[rank]) {
        if (instruction.kind == Kind::gather_parameters) ++gathered[instruction.index];
        if (instruction.kind == Kind::reduce_gradients) {
          ++reduced[instruction.index];
          EXPECT_EQ(gradients[instruction.index], 0) << name << ": not the last gradient";
        }
        if (instruction.kind != Kind::run) continue;
        const Action& action = schedule.ranks[rank][static_cast<std::size_t>(instruction.index)];
        EXPECT_EQ(gathered[action.stage], 1) << name << ": runs before its parameters are there";
        EXPECT_EQ(reduced[action.stage], 0) << name << ": runs after its gradients have left";
        if (action.gives_weight_gradient()) --gradients[action.stage];
      }
      EXPECT_EQ(gathered.size(), reduced.size()) << name;
    }
  }
}

}  // namespace
}  // namespace trireme::schedules
