#include "schedules/search/problem.h"

#include <algorithm>
#include <numeric>

namespace trireme::schedules::search {
namespace {

constexpr double kRounding = 1e-9;  // of sums of fractions of a chunk

std::size_t index(int value) { return static_cast<std::size_t>(value); }

}  // namespace

Problem::Problem(const Placement& placement, int micro_batch_count, const Costs& costs,
                 const SearchGoal& goal)
    : ranks(placement.ranks),
      stages(placement.stages),
      micro_batches(micro_batch_count),
      communication(costs.communication),
      weight_fraction(goal.weight_fraction),
      lower_bound(schedules::lower_bound(placement, micro_batch_count, costs, goal.objective)),
      rank_of(placement.rank_of[0]),
      stages_of(index(placement.ranks)),
      origin(index(placement.ranks), 0),
      arrival(index(placement.ranks), 0) {
  double time = 0;  // of the first micro-batch at each stage
  for (int stage = 0; stage < stages; ++stage) {
    const StageCost& cost = costs.stages[index(stage)];
    duration.insert(duration.end(), {cost.forward, cost.backward_input, cost.backward_weight});
    auto& own = stages_of[index(rank_of[index(stage)])];
    if (own.empty()) arrival[index(rank_of[index(stage)])] = time;
    own.push_back(stage);
    stage_of_node.insert(stage_of_node.end(), index(3 * micro_batches), stage);
    if (stage + 1 < stages) time += cost.forward + hop(stage, stage + 1);
  }
  if (goal.objective == Objective::span) origin = arrival;
  for (int stage = 0; stage < stages; ++stage) {
    hop_before.push_back(stage > 0 ? hop(stage - 1, stage) : 0);
    hop_behind.push_back(stage + 1 < stages ? hop(stage + 1, stage) : 0);
  }
  const auto limits = limits_of(goal, ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    const double everything =
        static_cast<double>(micro_batches) * static_cast<double>(stages_of[index(rank)].size());
    limit.push_back(std::min(limits[index(rank)] * placement.chunks(), everything) + kRounding);
  }
}

Problem Problem::under_other_objective() const {
  Problem other = *this;
  const bool is_span = origin == arrival;
  other.origin = is_span ? std::vector<double>(origin.size(), 0) : arrival;
  other.lower_bound = 0;
  return other;
}

double Problem::average_duration() const {
  return std::accumulate(duration.begin(), duration.end(), 0.0) /
         static_cast<double>(duration.size());
}

bool Problem::fits(std::span<const Node> nodes, int rank) const {
  const double change[] = {1, weight_fraction - 1, -weight_fraction};
  const double allowed = limit[index(rank)];
  double held = 0;
  for (const Node node : nodes) {
    held += change[node % 3];
    if (held > allowed) return false;
  }
  return true;
}

bool Problem::fits(const Order& order) const {
  for (int rank = 0; rank < ranks; ++rank) {
    if (!fits(order[index(rank)], rank)) return false;
  }
  return true;
}

Order order_of(const Problem& problem, const Schedule& schedule) {
  Order order;
  for (const auto& actions : schedule.ranks) {
    auto& nodes = order.emplace_back();
    for (const Action& action : actions) {
      const auto append = [&](Half half) {
        nodes.push_back(problem.node(action.stage, action.micro_batch, half));
      };
      if (action.pass == Pass::forward) append(forward);
      if (action.gives_gradient()) append(input_gradient);
      if (action.gives_weight_gradient()) append(weight_gradient);
    }
  }
  return order;
}

std::vector<std::vector<Action>> actions_of(const Problem& problem, const Order& order) {
  constexpr Pass kPass[] = {Pass::forward, Pass::backward_input, Pass::backward_weight};
  std::vector<std::vector<Action>> ranks;
  for (const auto& nodes : order) {
    auto& actions = ranks.emplace_back();
    for (const Node node : nodes) {
      actions.push_back({.pass = kPass[node % 3],
                         .stage = problem.stage_of(node),
                         .micro_batch = problem.micro_batch_of(node)});
    }
  }
  return ranks;
}

}  // namespace trireme::schedules::search
