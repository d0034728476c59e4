#include "schedules/search/policy.h"

#include <algorithm>

namespace trireme::schedules::search {
namespace {

constexpr double kUnlimited = 1e9;

int random_group(const Problem& problem, Dice& dice) {
  const int p = problem.ranks, m = problem.micro_batches;
  if (m >= p && dice.flip()) return m / (m / p);  // groups as equal as they can be
  const int sizes[] = {p, p, p, (p + 1) / 2, 2 * p, m};
  return std::max(1, dice.pick(sizes));
}

void roll_patience(Policy& policy, const Problem& problem, Dice& dice) {
  constexpr double kShares[] = {0, 0, 0, 0.25, 0.5, 0.75, 1};
  constexpr Policy::Patience kKinds[] = {Policy::Patience::always,
                                         Policy::Patience::before_first_backward,
                                         Policy::Patience::after_first_backward};
  policy.patience = dice.pick(kKinds);
  policy.wait_for_backward = dice.roll(3) > 0 ? 1 : dice.pick(kShares);
  policy.wait_for_forward = dice.pick(kShares);
  const bool chunks = problem.stages > problem.ranks;
  policy.wait_for_deeper = chunks && dice.flip() ? dice.pick(kShares) : 0;
}

void roll_gap_rule(Policy& policy, Dice& dice) {
  constexpr Policy::GapRule kRules[] = {Policy::GapRule::deadline, Policy::GapRule::deadline,
                                        Policy::GapRule::idlest, Policy::GapRule::share};
  constexpr double kGapShares[] = {1, 1, 1, 0.75, 0.5, 0.25, 0};
  constexpr double kIdleShares[] = {1, 1, 0.9, 0.75, 0.5};
  policy.gap_rule = dice.pick(kRules);
  policy.gap_share = dice.pick(kGapShares);
  policy.idle_share = dice.pick(kIdleShares);
}

void roll_rank_limit(Policy& policy, Dice& dice) {
  constexpr double kPerHop[] = {1, 1, 1.5, 2, 2, 3, kUnlimited, kUnlimited};
  constexpr double kAhead[] = {0, 0, 1, 2, 3};
  policy.ahead_per_hop = dice.pick(kPerHop);
  policy.ahead = dice.pick(kAhead);
}

// A slope that would use up the memory, give or take.
void roll_stage_limit(Policy& policy, const Problem& problem, Dice& dice) {
  constexpr double kAhead[] = {1, 1, 1.5, 2, 2.5};
  constexpr double kFactors[] = {0.6, 0.8, 0.9, 1, 1, 1.1, 1.25, 1.5, 2};
  policy.stage_ahead = dice.pick(kAhead);
  const double chunks = static_cast<double>(problem.stages) / problem.ranks;
  const double per_stage = problem.limit[0] / chunks - policy.stage_ahead;
  policy.stage_slope = per_stage / std::max(1.0, (problem.stages - 1) / 2.0) * dice.pick(kFactors);
}

void roll_orders(Policy& policy, const Problem& problem, Dice& dice) {
  policy.forward_order = static_cast<Policy::ForwardOrder>(dice.roll(4));
  policy.chunk_weight = (dice.flip() ? 0.5 : 1.0) * dice.roll(2 * problem.ranks);
  policy.backward_order = static_cast<Policy::BackwardOrder>(dice.roll(4));
}

Policy::Preference random_preference(Dice& dice) {
  constexpr Policy::Preference kPreferences[] = {Policy::Preference::backward,
                                                 Policy::Preference::backward,
                                                 Policy::Preference::backward,
                                                 Policy::Preference::forward,
                                                 Policy::Preference::alternate,
                                                 Policy::Preference::alternate,
                                                 Policy::Preference::alternate,
                                                 Policy::Preference::alternate,
                                                 Policy::Preference::alternate_with_room,
                                                 Policy::Preference::alternate_with_room,
                                                 Policy::Preference::alternate_with_room,
                                                 Policy::Preference::alternate_with_room};
  return dice.pick(kPreferences);
}

// Raises or lowers everything on one side of a random place.
void shift_one_side(std::vector<int>& extra, std::size_t first, std::size_t count, Dice& dice) {
  const auto place = static_cast<std::size_t>(dice.roll(static_cast<int>(count)));
  const bool upper = dice.flip();
  const int change = dice.sign();
  for (std::size_t i = upper ? place : 0; i < (upper ? count : place + 1); ++i) {
    extra[first + i] += change;
  }
}

void mutate_extra(Policy& policy, const Problem& problem, Dice& dice) {
  const auto ranks = static_cast<std::size_t>(problem.ranks);
  const auto stages = static_cast<std::size_t>(problem.stages);
  policy.rank_extra.resize(ranks);
  policy.stage_extra.resize(stages);
  switch (dice.roll(5)) {
    case 0:
      policy.rank_extra[static_cast<std::size_t>(dice.roll(problem.ranks))] += dice.sign();
      break;
    case 1:
    case 2: shift_one_side(policy.rank_extra, 0, ranks, dice); break;
    case 3:
      policy.stage_extra[static_cast<std::size_t>(dice.roll(problem.stages))] += dice.sign();
      break;
    case 4: {
      const int chunk = dice.roll(std::max(1, problem.stages / problem.ranks));
      shift_one_side(policy.stage_extra, static_cast<std::size_t>(chunk) * ranks, ranks, dice);
      break;
    }
  }
}

}  // namespace

Policy random_policy(const Problem& problem, Dice& dice) {
  Policy policy;
  roll_orders(policy, problem, dice);
  policy.group_size = random_group(problem, dice);
  policy.preference = random_preference(dice);
  roll_gap_rule(policy, dice);
  policy.weights_make_room = dice.flip();
  roll_patience(policy, problem, dice);
  policy.limit_per_stage = dice.flip();
  roll_rank_limit(policy, dice);
  roll_stage_limit(policy, problem, dice);
  policy.target_share = dice.fraction();
  return policy;
}

Policy mutated(const Policy& policy, const Problem& problem, Dice& dice) {
  Policy child = policy;
  for (int changes = 1 + dice.roll(2); changes > 0; --changes) {
    switch (dice.roll(15)) {
      case 0: roll_rank_limit(child, dice); break;
      case 1: child.preference = random_preference(dice); break;
      case 2:
      case 3: roll_orders(child, problem, dice); break;
      case 4: roll_gap_rule(child, dice); break;
      case 5: child.group_size = random_group(problem, dice); break;
      case 6: child.weights_make_room = !child.weights_make_room; break;
      case 7: roll_patience(child, problem, dice); break;
      case 8: child.target_share = dice.fraction(); break;
      case 9: roll_stage_limit(child, problem, dice); break;
      case 10: child.limit_per_stage = !child.limit_per_stage; break;
      default: mutate_extra(child, problem, dice); break;
    }
  }
  return child;
}

}  // namespace trireme::schedules::search
