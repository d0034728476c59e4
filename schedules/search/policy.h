#pragma once

#include <random>
#include <vector>

#include "schedules/search/problem.h"

namespace trireme::schedules::search {

// Deterministic everywhere, unlike the distributions of the standard library.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : generator_(seed) {}
  // Uniform in [0, sides).
  int roll(int sides) { return static_cast<int>(generator_() % static_cast<std::uint64_t>(sides)); }
  bool flip() { return roll(2) == 1; }
  int sign() { return flip() ? 1 : -1; }
  // Uniform in [0, 1).
  double fraction() { return static_cast<double>(generator_() >> 11) * 0x1p-53; }
  template <typename T, std::size_t n>
  T pick(const T (&values)[n]) {
    return values[roll(static_cast<int>(n))];
  }

 private:
  std::mt19937_64 generator_;
};

// How a rank chooses among the passes it could run next. The list scheduler is one function of
// (problem, policy); the search evolves policies.
struct Policy {
  enum class ForwardOrder { deepest_chunk, by_groups, first_come, weighted };
  enum class BackwardOrder { by_groups, shallowest_chunk, first_come, deepest_chunk };
  // When a forward and a backward pass are both ready.
  enum class Preference { backward, forward, alternate, alternate_with_room };
  // When an input is due before a weight gradient would be done.
  enum class GapRule {
    share,     // fill the gap if it is at least `gap_share` of the weight gradient
    idlest,    // fill it if waiting would make this rank idler than `idle_share` of the idlest
    deadline,  // fill it if waiting would break the target
  };
  // When it waits for a more urgent pass that is due while a less urgent one would run.
  enum class Patience { always, before_first_backward, after_first_backward };

  ForwardOrder forward_order = ForwardOrder::deepest_chunk;
  double chunk_weight = 0;  // of ForwardOrder::weighted, in micro-batches
  BackwardOrder backward_order = BackwardOrder::by_groups;
  int group_size = 1;
  Preference preference = Preference::backward;
  GapRule gap_rule = GapRule::share;
  double gap_share = 1;
  double idle_share = 1;
  bool weights_make_room = false;  // a weight gradient runs rather than leave no memory
  // Shares of the running time of the less urgent pass for which a rank waits; 0: not at all.
  Patience patience = Patience::always;
  double wait_for_backward = 0;
  double wait_for_forward = 0;
  double wait_for_deeper = 0;
  // Forward passes ahead of backward passes: per rank, or per stage.
  bool limit_per_stage = false;
  double ahead = 0;              // per rank: beyond 1F1B's own
  double ahead_per_hop = 1;      // per rank: for every rank that follows
  double stage_ahead = 1;        // per stage
  double stage_slope = 1;        // per stage: for every stage that follows
  std::vector<int> rank_extra;   // empty, or one per rank
  std::vector<int> stage_extra;  // empty, or one per stage
  // Where the target lies between the lower bound and the best schedule known.
  double target_share = 1;
};

Policy random_policy(const Problem& problem, Dice& dice);
// One or two of the policy's traits changed.
Policy mutated(const Policy& policy, const Problem& problem, Dice& dice);

}  // namespace trireme::schedules::search
