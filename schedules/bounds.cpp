#include <algorithm>
#include <limits>

#include "schedules/simulate.h"

namespace trireme::schedules {
namespace {

// What one micro-batch alone needs around a stage of one copy of the model.
struct Lone {
  double head = 0;        // from the start of stage 0 to the start of this stage's forward pass
  double round_trip = 0;  // from there to the end of this stage's weight gradient
};

std::vector<Lone> lone_micro_batch(const std::vector<int>& rank_of, const Costs& costs) {
  const std::size_t stages = rank_of.size();
  const auto hop = [&](std::size_t stage) {  // from a stage to the next
    return rank_of[stage] == rank_of[stage + 1] ? 0 : costs.communication;
  };
  std::vector<Lone> lone(stages);
  for (std::size_t stage = 1; stage < stages; ++stage) {
    lone[stage].head = lone[stage - 1].head + costs.stages[stage - 1].forward + hop(stage - 1);
  }
  double there_and_back = 0;  // from the start of the forward pass to the end of the input gradient
  for (std::size_t stage = stages; stage-- > 0;) {
    there_and_back += costs.stages[stage].forward + costs.stages[stage].backward_input;
    if (stage + 1 < stages) there_and_back += 2 * hop(stage);
    lone[stage].round_trip = there_and_back + costs.stages[stage].backward_weight;
  }
  return lone;
}

struct RankBound {
  double head = std::numeric_limits<double>::infinity();  // before its first forward pass
  double work = 0;                                        // of a step
  double round_trip = 0;                                  // longest of its stages
  double arrival_and_round_trip = 0;                      // longest of its stages
};

std::vector<RankBound> rank_bounds(const Placement& placement, int micro_batches,
                                   const Costs& costs) {
  std::vector<RankBound> bounds(static_cast<std::size_t>(placement.ranks));
  const double share =
      std::min(1.0, costs.overlap) * static_cast<double>(micro_batches) / placement.copies();
  for (const auto& rank_of : placement.rank_of) {
    const auto lone = lone_micro_batch(rank_of, costs);
    for (std::size_t stage = 0; stage < rank_of.size(); ++stage) {
      RankBound& bound = bounds[static_cast<std::size_t>(rank_of[stage])];
      bound.work += share * costs.stages[stage].whole();
      bound.head = std::min(bound.head, lone[stage].head);
      bound.round_trip = std::max(bound.round_trip, lone[stage].round_trip);
      bound.arrival_and_round_trip =
          std::max(bound.arrival_and_round_trip, lone[stage].head + lone[stage].round_trip);
    }
  }
  return bounds;
}

}  // namespace

double makespan_lower_bound(const Placement& placement, int micro_batches, const Costs& costs) {
  double latest = 0;
  for (const RankBound& bound : rank_bounds(placement, micro_batches, costs)) {
    latest = std::max({latest, bound.head + bound.work, bound.arrival_and_round_trip});
  }
  return latest;
}

double span_lower_bound(const Placement& placement, int micro_batches, const Costs& costs) {
  double longest = 0;
  for (const RankBound& bound : rank_bounds(placement, micro_batches, costs)) {
    longest = std::max({longest, bound.work, bound.round_trip});
  }
  return longest;
}

}  // namespace trireme::schedules
