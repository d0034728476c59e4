#pragma once

#include <algorithm>

#include "schedules/check.h"
#include "schedules/search.h"
#include "tests/schedules/random_schedule.h"

namespace trireme::schedules {

// A problem that nobody has searched before, on one copy of a model.
struct Puzzle {
  Placement placement = {};
  int micro_batches = 0;
  Costs costs = {};
  SearchGoal goal = {};
};

inline Placement random_single_copy(std::mt19937& dice) {
  for (;;) {
    Placement placement = random_placement(dice);
    if (placement.copies() == 1) return placement;
  }
}

// With a limit on every rank, one for all or none, and hardly any effort.
inline Puzzle random_puzzle(std::mt19937& dice) {
  Puzzle puzzle{.placement = random_single_copy(dice), .micro_batches = between(1, 9, dice)};
  puzzle.costs = random_costs(puzzle.placement, dice);
  puzzle.costs.overlap = 1;
  puzzle.goal = {.objective = happens(0.5, dice) ? Objective::makespan : Objective::span,
                 .memory_limit = {},
                 .weight_fraction = one_of<double>({0, 0.3, 0.5, 1}, dice),
                 .seed = dice(),
                 .effort = 0.002};
  const auto smallest = smallest_feasible_memory(puzzle.placement);
  const auto extra = [&] { return between(0, 3, dice) * fraction(dice); };
  switch (between(0, 2, dice)) {
    case 0: puzzle.goal.memory_limit = {*std::ranges::max_element(smallest) + extra()}; break;
    case 1:
      for (const double least : smallest) puzzle.goal.memory_limit.push_back(least + extra());
      break;
    default: break;
  }
  return puzzle;
}

inline bool fits(const Schedule& schedule, const SearchGoal& goal) {
  return memory_problems(schedule, limits_of(goal, schedule.placement.ranks),
                         {.weight_fraction = goal.weight_fraction})
      .empty();
}

}  // namespace trireme::schedules
