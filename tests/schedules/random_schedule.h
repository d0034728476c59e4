#pragma once

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "schedules/simulate.h"

// Schedules and costs that nobody would think of, for properties that all schedules have.
namespace trireme::schedules {

// Uniform, and the same everywhere, unlike the distributions of the standard library.
inline int between(int low, int high, std::mt19937& dice) {
  return low + static_cast<int>(dice() % static_cast<unsigned>(high - low + 1));
}

inline double fraction(std::mt19937& dice) { return static_cast<double>(dice()) * 0x1p-32; }

inline bool happens(double probability, std::mt19937& dice) { return fraction(dice) < probability; }

template <typename T>
const T& one_of(const std::vector<T>& values, std::mt19937& dice) {
  return values[static_cast<std::size_t>(between(0, static_cast<int>(values.size()) - 1, dice))];
}

// Any kind of placement, on one to five ranks.
inline Placement random_placement(std::mt19937& dice) {
  const int ranks = between(1, 5, dice);
  switch (between(0, 3, dice)) {
    case 0: return Placement::loop(ranks, between(1, 3, dice));
    case 1: return Placement::v(ranks, between(1, 3, dice));
    case 2: return Placement::bidirectional(ranks);
    default: break;
  }
  std::vector<int> rank_of;
  for (int rank = 0; rank < ranks; ++rank) rank_of.push_back(rank);
  for (int more = between(0, 2 * ranks, dice); more > 0; --more) {
    rank_of.push_back(between(0, ranks - 1, dice));
  }
  for (std::size_t i = rank_of.size(); i > 1; --i) {
    std::swap(rank_of[i - 1], rank_of[dice() % i]);
  }
  return Placement::custom(rank_of);
}

// Every stage at its own price, with free passes and free messages now and then.
inline Costs random_costs(const Placement& placement, std::mt19937& dice) {
  const auto price = [&] { return happens(0.1, dice) ? 0 : 0.25 + 2 * fraction(dice); };
  Costs costs;
  for (int stage = 0; stage < placement.stages; ++stage) {
    costs.stages.push_back({price(), price(), price(), price()});
  }
  costs.communication = happens(0.3, dice) ? 0 : fraction(dice);
  costs.overlap = happens(0.5, dice) ? 1 : 0.5 + 0.5 * fraction(dice);
  return costs;
}

// Lists actions as they become possible, the next one by chance: what it makes can always run.
class RandomScheduler {
 public:
  RandomScheduler(const Placement& placement, int micro_batches, std::mt19937& dice) : dice_(dice) {
    schedule_ = {
        .kind = "random",
        .placement = placement,
        .micro_batches = micro_batches,
        .ranks = std::vector<std::vector<Action>>(static_cast<std::size_t>(placement.ranks))};
    done_.resize(schedule_.cells(), 0);
    const double split = one_of<double>({0, 0.5, 1}, dice),
                 recompute = one_of<double>({0, 0, 0.5, 1}, dice);
    for (std::size_t cell = 0; cell < schedule_.cells(); ++cell) {
      auto& passes = passes_.emplace_back(1, Pass::forward);
      if (happens(recompute, dice)) passes.push_back(Pass::recompute);
      const bool halves = happens(split, dice);
      passes.push_back(halves ? Pass::backward_input : Pass::backward);
      if (halves) passes.push_back(Pass::backward_weight);
    }
    forward_weight_ = one_of<double>({0.1, 1, 10}, dice);
    weight_gradient_weight_ = one_of<double>({0.1, 1, 10}, dice);
    in_order_ = happens(0.5, dice);
    overlap_ = one_of<double>({0, 0, 0.5, 1}, dice);
  }

  Schedule run() {
    for (auto possible = possible_actions(); !possible.empty(); possible = possible_actions()) {
      Action chosen = choose(possible);
      const auto partners = partners_of(chosen, possible);
      if (partners.empty() || !happens(overlap_, dice_)) {
        append(chosen);
        continue;
      }
      // Both are possible now, so neither needs the other.
      chosen.overlaps_next = true;
      append(chosen);
      append(one_of(partners, dice_));
    }
    return schedule_;
  }

 private:
  std::size_t cell(const Action& action) const {
    return schedule_.cell(action.stage, action.micro_batch);
  }
  int rank_of(const Action& action) const {
    return schedule_.rank_of(action.stage, action.micro_batch);
  }

  bool forward_done(int stage, int micro_batch) const {
    return done_[schedule_.cell(stage, micro_batch)] > 0;
  }
  bool gradient_done(int stage, int micro_batch) const {
    const std::size_t at = schedule_.cell(stage, micro_batch);
    const auto last = passes_[at].begin() + done_[at];
    return std::any_of(passes_[at].begin(), last, [](Pass pass) {
      return pass == Pass::backward || pass == Pass::backward_input;
    });
  }

  bool is_possible(const Action& action) const {
    if (action.pass == Pass::forward) {
      return action.stage == 0 || forward_done(action.stage - 1, action.micro_batch);
    }
    return !action.gives_gradient() || action.stage + 1 == schedule_.placement.stages ||
           gradient_done(action.stage + 1, action.micro_batch);
  }

  std::vector<Action> possible_actions() const {
    std::vector<Action> possible;
    for (int stage = 0; stage < schedule_.placement.stages; ++stage) {
      for (int micro_batch = 0; micro_batch < schedule_.micro_batches; ++micro_batch) {
        const std::size_t at = schedule_.cell(stage, micro_batch);
        const auto next = static_cast<std::size_t>(done_[at]);
        if (next == passes_[at].size()) continue;
        const Action action{.pass = passes_[at][next], .stage = stage, .micro_batch = micro_batch};
        if (!is_possible(action)) continue;
        possible.push_back(action);
        if (in_order_ && action.pass == Pass::forward) break;  // later micro-batches have to wait
      }
    }
    return possible;
  }

  double weight_of(const Action& action) const {
    if (action.pass == Pass::forward) return forward_weight_;
    return action.pass == Pass::backward_weight ? weight_gradient_weight_ : 1;
  }

  const Action& choose(const std::vector<Action>& possible) {
    double total = 0;
    for (const Action& action : possible) total += weight_of(action);
    double at = fraction(dice_) * total;
    for (const Action& action : possible) {
      at -= weight_of(action);
      if (at < 0) return action;
    }
    return possible.back();
  }

  // What could share the device with `chosen`: a forward with a backward pass.
  std::vector<Action> partners_of(const Action& chosen, const std::vector<Action>& possible) const {
    const auto is_forward = [](const Action& action) { return action.pass == Pass::forward; };
    std::vector<Action> partners;
    for (const Action& other : possible) {
      if (chosen.pass == Pass::recompute || other.pass == Pass::recompute) continue;
      if (rank_of(other) == rank_of(chosen) && is_forward(other) != is_forward(chosen)) {
        partners.push_back(other);
      }
    }
    return partners;
  }

  void append(const Action& action) {
    schedule_.ranks[static_cast<std::size_t>(rank_of(action))].push_back(action);
    ++done_[cell(action)];
  }

  std::mt19937& dice_;
  Schedule schedule_;
  std::vector<std::vector<Pass>> passes_;  // per (stage, micro-batch), in their order
  std::vector<int> done_;                  // per (stage, micro-batch): how many of them
  double forward_weight_ = 1, weight_gradient_weight_ = 1;  // of the choice; 1: backward passes
  bool in_order_ = false;
  double overlap_ = 0;
};

inline Schedule random_schedule(const Placement& placement, int micro_batches, std::mt19937& dice) {
  return RandomScheduler(placement, micro_batches, dice).run();
}

// At most 15 stages and 8 micro-batches; backward passes whole and in halves, recomputation and
// overlapped pairs in some.
inline Schedule random_schedule(std::mt19937& dice) {
  const Placement placement = random_placement(dice);
  const int micro_batches = placement.copies() * between(1, 8 / placement.copies(), dice);
  return random_schedule(placement, micro_batches, dice);
}

}  // namespace trireme::schedules
