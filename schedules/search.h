#pragma once

#include <cstdint>
#include <vector>

#include "schedules/simulate.h"

namespace trireme::schedules {

enum class Objective {
  makespan,  // a step whose optimizer waits for all ranks
  span,      // steps that follow each other on every rank without waiting for the others
};

// What a searched schedule has to minimize, and what it may hold.
struct SearchGoal {
  Objective objective = Objective::makespan;
  // Per rank, in micro-batches of a rank's whole share; one value stands for every rank, none for
  // no limit.
  std::vector<double> memory_limit;
  double weight_fraction = 1;  // see MemoryModel
  std::uint64_t seed = 1;      // the same seed finds the same schedule
  // Multiplies the time spent, about a second for 16 ranks and 64 micro-batches.
  double effort = 1;
};

// The best order of passes found for these stages on these ranks, backward in halves: no worse
// than any of the seeds that fits the limit (seeds have the same placement). A list scheduler
// whose policy is evolved, then a local search along the critical path.
// Throws ScheduleError, naming the smallest feasible limit, if a rank may not hold even one
// micro-batch.
Schedule search_schedule(const Placement& placement, int micro_batches, const Costs& costs,
                         const SearchGoal& goal, const std::vector<Schedule>& seeds);

// What the search minimizes.
double objective_of(const Timeline& timeline, Objective objective);
double lower_bound(const Placement& placement, int micro_batches, const Costs& costs,
                   Objective objective);

// The limit of each rank; infinite where there is none. Throws ScheduleError if goal.memory_limit
// has neither no, nor one, nor `ranks` values.
std::vector<double> limits_of(const SearchGoal& goal, int ranks);

// What each rank holds of one micro-batch alone: no schedule holds less.
std::vector<double> smallest_feasible_memory(const Placement& placement);

}  // namespace trireme::schedules
