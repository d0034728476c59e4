#include "schedules/search/problem.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

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
      origin(index(placement.ranks), 0) {
  double arrival = 0;  // of the first micro-batch at each stage
  for (int stage = 0; stage < stages; ++stage) {
    const StageCost& cost = costs.stages[index(stage)];
    duration.insert(duration.end(), {cost.forward, cost.backward_input, cost.backward_weight});
    auto& own = stages_of[index(rank_of[index(stage)])];
    if (own.empty() && goal.objective == Objective::span) {
      origin[index(rank_of[index(stage)])] = arrival;
    }
    own.push_back(stage);
    stage_of_node.insert(stage_of_node.end(), index(3 * micro_batches), stage);
    if (stage + 1 < stages) arrival += cost.forward + hop(stage, stage + 1);
  }
  for (int stage = 0; stage < stages; ++stage) {
    hop_before.push_back(stage > 0 ? hop(stage - 1, stage) : 0);
    hop_behind.push_back(stage + 1 < stages ? hop(stage + 1, stage) : 0);
  }
  number_channels();
  const double everything = static_cast<double>(micro_batches) * placement.chunks();
  for (const double units : limits_of(goal, ranks)) {
    limit.push_back(std::min(units * placement.chunks(), everything) + kRounding);
  }
}

void Problem::number_channels() {
  std::map<std::tuple<int, int, Half>, std::vector<int>> users;  // stages that receive
  for (int stage = 0; stage < stages; ++stage) {
    const int rank = rank_of[index(stage)];
    const auto add = [&](int from_stage, Half half) {
      if (from_stage < 0 || from_stage >= stages || rank_of[index(from_stage)] == rank) return;
      users[{rank_of[index(from_stage)], rank, half}].push_back(stage);
    };
    add(stage - 1, forward);
    add(stage + 1, input_gradient);
  }
  activation_channel.assign(index(stages), -1);
  gradient_channel.assign(index(stages), -1);
  for (const auto& [ends, receiving] : users) {
    if (receiving.size() < 2) continue;  // micro-batches of one stage never overtake each other
    auto& channel = std::get<Half>(ends) == forward ? activation_channel : gradient_channel;
    for (const int stage : receiving) channel[index(stage)] = shared_channels;
    ++shared_channels;
  }
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

int channel_into(const Problem& problem, Node node) {
  if (node % 3 == weight_gradient) return -1;
  const auto& channel = node % 3 == forward ? problem.activation_channel : problem.gradient_channel;
  return channel[index(problem.stage_of(node))];
}

bool Problem::keeps_channel_order(const Order& order) const {
  if (shared_channels == 0) return true;
  // Each list holds the nodes that use the messages: as sent, and as used.
  std::vector<std::vector<Node>> sent(index(shared_channels)), used(index(shared_channels));
  for (const auto& nodes : order) {
    for (const Node node : nodes) {
      const int stage = stage_of(node), half = node % 3;
      if (const int channel = channel_into(*this, node); channel >= 0) {
        used[index(channel)].push_back(node);
      }
      const int to = half == forward ? stage + 1 : stage - 1;
      if (half == weight_gradient || to < 0 || to >= stages) continue;
      const Node user = half == forward ? node + stage_stride() : node - stage_stride();
      if (rank_of[index(to)] == rank_of[index(stage)]) continue;
      if (const int channel = channel_into(*this, user); channel >= 0) {
        sent[index(channel)].push_back(user);
      }
    }
  }
  return sent == used;
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
