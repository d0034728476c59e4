#include "schedules/passes.h"

#include <algorithm>
#include <map>
#include <set>

namespace trireme::schedules {
namespace {

std::vector<Action> split_rank(const std::vector<Action>& actions) {
  std::vector<Action> split;
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const bool pair = actions[i].overlaps_next || (i > 0 && actions[i - 1].overlaps_next);
    split.push_back(actions[i]);
    if (pair || actions[i].pass != Pass::backward) continue;
    split.back().pass = Pass::backward_input;
    split.push_back(split.back());
    split.back().pass = Pass::backward_weight;
  }
  return split;
}

// `chooses(i)`: whether the halves at positions i and i + 1 become one.
template <typename Choose>
std::vector<Action> merge_rank(const std::vector<Action>& actions, const Choose& chooses) {
  std::vector<Action> merged;
  for (std::size_t i = 0; i < actions.size(); ++i) {
    merged.push_back(actions[i]);
    if (i + 1 == actions.size() || actions[i].pass != Pass::backward_input) continue;
    const Action& next = actions[i + 1];
    const bool halves = next.pass == Pass::backward_weight && next.stage == actions[i].stage &&
                        next.micro_batch == actions[i].micro_batch && !actions[i].overlaps_next &&
                        !next.overlaps_next && (i == 0 || !actions[i - 1].overlaps_next);
    if (!halves || !chooses(i)) continue;
    merged.back().pass = Pass::backward;
    ++i;
  }
  return merged;
}

}  // namespace

Schedule split_backward(const Schedule& schedule) {
  Schedule split = schedule;
  for (auto& actions : split.ranks) actions = split_rank(actions);
  return split;
}

Schedule take_pairs_apart(const Schedule& schedule) {
  Schedule apart = schedule;
  for (auto& actions : apart.ranks) {
    for (Action& action : actions) action.overlaps_next = false;
  }
  return apart;
}

Schedule merge_backward(const Schedule& schedule) {
  Schedule merged = schedule;
  for (auto& actions : merged.ranks) {
    actions = merge_rank(actions, [](std::size_t) { return true; });
  }
  return merged;
}

Schedule merge_free_splits(const Schedule& schedule, const Costs& costs, Objective objective) {
  constexpr double kRounding = 1e-9;
  Schedule merged = schedule;
  const double allowed = objective_of(simulate(schedule, costs), objective) * (1 + kRounding);
  for (auto& actions : merged.ranks) {
    // Halving finds the merges that cost nothing without trying every one alone.
    std::vector<bool> chosen(actions.size(), false);
    const std::vector<Action> original = actions;
    const auto holds = [&] {
      actions = merge_rank(original, [&](std::size_t i) { return chosen[i]; });
      return objective_of(simulate(merged, costs), objective) <= allowed;
    };
    const auto choose = [&](auto&& self, std::size_t first, std::size_t last) -> void {
      std::fill(chosen.begin() + static_cast<std::ptrdiff_t>(first),
                chosen.begin() + static_cast<std::ptrdiff_t>(last), true);
      if (holds()) return;
      std::fill(chosen.begin() + static_cast<std::ptrdiff_t>(first),
                chosen.begin() + static_cast<std::ptrdiff_t>(last), false);
      if (last - first < 2) return;
      const std::size_t middle = first + (last - first) / 2;
      self(self, first, middle);
      self(self, middle, last);
    };
    choose(choose, 0, chosen.size());
    holds();
  }
  return merged;
}

Schedule forward_only(const Schedule& schedule) {
  Schedule forward = take_pairs_apart(schedule);
  for (auto& actions : forward.ranks) {
    std::erase_if(actions, [](const Action& action) { return action.pass != Pass::forward; });
    std::ranges::sort(actions, {}, [](const Action& action) {
      return std::pair(action.micro_batch, action.stage);
    });
  }
  return forward;
}

Program with_parameter_communication(Program program) {
  using Kind = Instruction::Kind;
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    const auto& actions = program.schedule.ranks[rank];
    std::map<int, int> gradients;  // to come, per stage
    for (const Action& action : actions) {
      if (action.gives_weight_gradient()) ++gradients[action.stage];
    }
    std::vector<Instruction> instructions;
    std::set<int> gathered;
    std::vector<int> complete;  // stages to reduce once others have what they wait for
    for (const Instruction& instruction : program.ranks[rank]) {
      const bool is_next = instruction.kind == Kind::receive || instruction.kind == Kind::run;
      while (is_next && !complete.empty()) {
        instructions.push_back({Kind::reduce_gradients, complete.back()});
        complete.pop_back();
      }
      if (instruction.kind == Kind::run) {
        const Action& action = actions[static_cast<std::size_t>(instruction.index)];
        if (gathered.insert(action.stage).second) {
          instructions.push_back({Kind::gather_parameters, action.stage});
        }
        if (action.gives_weight_gradient() && --gradients[action.stage] == 0) {
          complete.push_back(action.stage);
        }
      }
      instructions.push_back(instruction);
    }
    for (const int stage : complete) instructions.push_back({Kind::reduce_gradients, stage});
    program.ranks[rank] = std::move(instructions);
  }
  return program;
}

}  // namespace trireme::schedules
