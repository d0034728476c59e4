#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "schedules/search/list_scheduler.h"
#include "schedules/search/local_search.h"
#include "schedules/search/pattern.h"
#include "schedules/search/timed_order.h"
#include "tests/schedules/random_puzzle.h"

namespace trireme::schedules::search {
namespace {

constexpr double kRounding = 1e-9;

Problem problem_of(const Puzzle& puzzle) {
  return Problem(puzzle.placement, puzzle.micro_batches, puzzle.costs, puzzle.goal);
}

Schedule schedule_of(const Puzzle& puzzle, const Problem& problem, const Order& order) {
  return {.kind = "order",
          .placement = puzzle.placement,
          .micro_batches = puzzle.micro_batches,
          .ranks = actions_of(problem, order)};
}

// Runs `body(puzzle, problem, dice)` on many puzzles.
template <typename Body>
void for_each_puzzle(int puzzles, const Body& body) {
  std::mt19937 chance(41);
  for (int i = 0; i < puzzles; ++i) {
    const Puzzle puzzle = random_puzzle(chance);
    SCOPED_TRACE(testing::Message() << "puzzle " << i);
    Dice dice(static_cast<std::uint64_t>(i));
    body(puzzle, problem_of(puzzle), dice);
  }
}

void expect_complete(const Puzzle& puzzle, const Problem& problem, const Order& order) {
  EXPECT_EQ(problems_of(schedule_of(puzzle, problem, order)), std::vector<std::string>{});
  EXPECT_TRUE(problem.fits(order));
  EXPECT_TRUE(fits(schedule_of(puzzle, problem, order), puzzle.goal));
}

TEST(Problem, TurnsSchedulesIntoOrdersAndBack) {
  for_each_puzzle(50, [](const Puzzle& puzzle, const Problem& problem, Dice&) {
    const Order order = one_by_one(problem);
    EXPECT_EQ(order_of(problem, schedule_of(puzzle, problem, order)), order);
  });
}

TEST(OneByOne, HoldsAsLittleAsAnyOrder) {
  for_each_puzzle(200, [](Puzzle puzzle, const Problem&, Dice&) {
    puzzle.goal.memory_limit = smallest_feasible_memory(puzzle.placement);
    expect_complete(puzzle, problem_of(puzzle), one_by_one(problem_of(puzzle)));
  });
}

// Whatever the policy: a rank keeps room for the rest of its oldest micro-batch.
TEST(ListScheduler, NeverRunsIntoADeadEnd) {
  for_each_puzzle(300, [](const Puzzle& puzzle, const Problem& problem, Dice& dice) {
    ListScheduler scheduler(problem);
    for (int i = 0; i < 10; ++i) {
      const Policy policy = random_policy(problem, dice);
      expect_complete(puzzle, problem, scheduler.run(policy, 1.1 * problem.lower_bound));
    }
  });
}

TEST(ListScheduler, KeepsToThePassesThatItFollows) {
  for_each_puzzle(100, [](const Puzzle& puzzle, const Problem& problem, Dice& dice) {
    ListScheduler scheduler(problem);
    const Order followed = scheduler.run(random_policy(problem, dice), problem.lower_bound);
    Policy policy = random_policy(problem, dice);
    policy.wait_for_backward = policy.wait_for_forward = policy.wait_for_deeper = 0;
    policy.weights_make_room = true;
    const Order order = scheduler.run_along(followed, policy, problem.lower_bound);
    expect_complete(puzzle, problem, order);
    const auto without_weights = [](const Order& all) {
      Order rest = all;
      for (auto& nodes : rest) {
        std::erase_if(nodes, [](Node node) { return node % 3 == weight_gradient; });
      }
      return rest;
    };
    EXPECT_EQ(without_weights(order), without_weights(followed));
  });
}

// The search has a player of its own, for speed.
TEST(OrderPlayer, AgreesWithTheSimulation) {
  for_each_puzzle(200, [](const Puzzle& puzzle, const Problem& problem, Dice& dice) {
    const Order order =
        ListScheduler(problem).run(random_policy(problem, dice), problem.lower_bound);
    const Schedule schedule = schedule_of(puzzle, problem, order);
    const Timeline timeline = simulate(schedule, puzzle.costs);
    OrderPlayer player(problem);
    const double objective = player.play(order).objective;
    const double simulated = objective_of(timeline, puzzle.goal.objective);
    if (puzzle.goal.objective == Objective::makespan) {
      EXPECT_NEAR(objective, simulated, kRounding);
    } else {
      EXPECT_GE(objective, simulated - kRounding);  // a rank may start late
    }
    for (std::size_t rank = 0; rank < order.size(); ++rank) {
      for (std::size_t i = 0; i < order[rank].size(); ++i) {
        EXPECT_NEAR(player.start(order[rank][i]), timeline.actions[rank][i].start, kRounding);
        EXPECT_NEAR(player.end(order[rank][i]), timeline.actions[rank][i].end, kRounding);
      }
    }
  });
}

TEST(OrderPlayer, ScoresAContradictionAsImpossible) {
  const Placement placement = Placement::loop(2, 1);
  const Problem problem(placement, 1, Costs::even(placement, {}), {.memory_limit = {}});
  Order order = one_by_one(problem);
  EXPECT_TRUE(OrderPlayer(problem).play(order).possible());
  std::swap(order[0][0], order[0][1]);
  EXPECT_FALSE(OrderPlayer(problem).play(order).possible());
}

Order random_order(const Problem& problem, Dice& dice) {
  return ListScheduler(problem).run(random_policy(problem, dice), problem.lower_bound);
}

// Mostly short, as most moves of a search are.
Move random_move(const Problem& problem, Dice& dice) {
  const int rank = dice.roll(problem.ranks);
  const int count = 3 * problem.micro_batches *
                    static_cast<int>(problem.stages_of[static_cast<std::size_t>(rank)].size());
  const int from = dice.roll(count);
  const int reach = dice.flip() ? 2 : 9;
  const int to = std::clamp(from + dice.roll(2 * reach + 1) - reach, 0, count - 1);
  return {.rank = rank, .from = static_cast<std::size_t>(from), .to = static_cast<std::size_t>(to)};
}

Order moved(Order order, const Move& move) {
  auto& nodes = order[static_cast<std::size_t>(move.rank)];
  const Node node = nodes[move.from];
  nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(move.from));
  nodes.insert(nodes.begin() + static_cast<std::ptrdiff_t>(move.to), node);
  return order;
}

// Nothing can be longer than the objective, and what decides it is as long.
TEST(TimedOrder, MeasuresTheLongestPath) {
  for_each_puzzle(100, [](const Puzzle&, const Problem& problem, Dice& dice) {
    const TimedOrder order(problem, random_order(problem, dice));
    double longest = 0;
    for (const auto& nodes : order.order()) {
      for (const Node node : nodes) {
        longest = std::max(longest, order.start(node) + order.tail(node));
      }
    }
    EXPECT_NEAR(longest, order.score().objective, kRounding);
  });
}

// After any moves it knows what one that is made anew from the same order knows.
TEST(TimedOrder, KeepsItsTimesThroughMoves) {
  int made = 0, refused = 0;
  for_each_puzzle(60, [&](const Puzzle&, const Problem& problem, Dice& dice) {
    TimedOrder order(problem, random_order(problem, dice));
    for (int i = 0; i < 60; ++i) {
      const Move move = random_move(problem, dice);
      if (move.leads_nowhere()) continue;
      const Order wanted = moved(order.order(), move);
      EXPECT_EQ(order.fits(move),
                problem.fits(wanted[static_cast<std::size_t>(move.rank)], move.rank));
      if (!order.fits(move)) continue;
      OrderPlayer player(problem);
      const Score score = player.play(wanted);
      const bool done = order.apply(move);
      ASSERT_EQ(done, score.possible());
      ++(done ? made : refused);
      if (!done) continue;
      ASSERT_EQ(order.order(), wanted);
      EXPECT_EQ(order.score().objective, score.objective);
      EXPECT_EQ(order.score().total, score.total);
      const TimedOrder fresh(problem, wanted);
      for (Node node = 0; node < problem.nodes(); ++node) {
        ASSERT_EQ(order.start(node), player.start(node));
        ASSERT_EQ(order.tail(node), fresh.tail(node));
      }
    }
  });
  EXPECT_GT(made, 1000);
  EXPECT_GT(refused, 300);
}

// Two neighbors that change places: the path through them can be told beforehand. (Not under the
// span, where a rank's time counts from its first start, wherever that moves.)
TEST(TimedOrder, EstimatesASwapFromBelow) {
  int swaps = 0, exact = 0;
  for_each_puzzle(100, [&](const Puzzle& puzzle, const Problem& problem, Dice& dice) {
    if (puzzle.goal.objective == Objective::span) return;
    TimedOrder order(problem, random_order(problem, dice));
    for (int i = 0; i < 40; ++i) {
      const Move move = random_move(problem, dice);
      if (move.last() != move.first() + 1) continue;
      const double estimate = order.estimate(move);
      if (!order.apply(move)) continue;
      ++swaps;
      EXPECT_LE(estimate, order.score().objective + kRounding);
      if (estimate > order.score().objective - kRounding) ++exact;
    }
  });
  EXPECT_GT(swaps, 300);
  EXPECT_GT(exact, swaps / 10);
}

TEST(LocalSearch, NeverLosesWhatItStartsFrom) {
  int improved = 0;
  for_each_puzzle(100, [&](const Puzzle& puzzle, const Problem& problem, Dice& dice) {
    const Order order = random_order(problem, dice);
    const Score before = OrderPlayer(problem).play(order);
    const Improved after = improve(problem, order, {.budget = 2e4, .temperature = 1}, dice);
    expect_complete(puzzle, problem, after.order);
    EXPECT_FALSE(before.better_than(after.score));
    EXPECT_NEAR(OrderPlayer(problem).play(after.order).objective, after.score.objective, kRounding);
    if (after.score.objective < before.objective - kRounding) ++improved;
  });
  EXPECT_GT(improved, 20);
}

}  // namespace
}  // namespace trireme::schedules::search
