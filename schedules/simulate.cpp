#include "schedules/simulate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace trireme::schedules {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// Plays a schedule. A rank advances until an input is missing; whoever makes that input wakes it.
class Player {
 public:
  Player(const Schedule& schedule, const Costs& costs)
      : schedule_(schedule),
        costs_(costs),
        forward_end_(schedule.cells(), kNever),
        gradient_end_(schedule.cells(), kNever),
        next_(schedule.ranks.size(), 0),
        free_(schedule.ranks.size(), 0) {
    timeline_.busy.assign(schedule.ranks.size(), 0);
    for (const auto& actions : schedule.ranks) timeline_.actions.emplace_back(actions.size());
  }

  Timeline play() {
    for (int rank = schedule_.placement.ranks - 1; rank >= 0; --rank) awake_.push_back(rank);
    while (!awake_.empty()) {
      const int rank = awake_.back();
      awake_.pop_back();
      while (advance(index(rank))) {
      }
    }
    refuse_stuck_ranks();
    return std::move(timeline_);
  }

 private:
  // When the output of a pass of `stage` is on the rank that runs (stage + step).
  double arrival(const std::vector<double>& ends, int stage, int step, int micro_batch) const {
    const double end = ends[schedule_.cell(stage, micro_batch)];
    const bool local =
        schedule_.rank_of(stage, micro_batch) == schedule_.rank_of(stage + step, micro_batch);
    return local ? end : end + costs_.communication;
  }

  double ready(const Action& action) const {
    const auto [pass, overlaps, stage, micro_batch] = action;
    if (pass == Pass::forward) {
      return stage == 0 ? 0 : arrival(forward_end_, stage - 1, 1, micro_batch);
    }
    if (pass == Pass::backward_weight) return gradient_end_[schedule_.cell(stage, micro_batch)];
    const double forward = forward_end_[schedule_.cell(stage, micro_batch)];
    if (pass == Pass::recompute || stage == schedule_.placement.stages - 1) return forward;
    return std::max(forward, arrival(gradient_end_, stage + 1, -1, micro_batch));
  }

  // Runs the next action of a rank, or both of an overlapped pair; false if it has to wait.
  bool advance(std::size_t rank) {
    const auto& actions = schedule_.ranks[rank];
    const std::size_t first = next_[rank];
    if (first == actions.size()) return false;
    std::size_t last = first;
    double start = free_[rank], duration = 0;
    for (;; ++last) {
      const double inputs = ready(actions[last]);
      if (inputs == kNever) return false;
      start = std::max(start, inputs);
      duration += costs_.stages[index(actions[last].stage)].of(actions[last].pass);
      if (!actions[last].overlaps_next || last + 1 == actions.size()) break;
    }
    if (last != first) duration *= costs_.overlap;
    for (std::size_t i = first; i <= last; ++i) {
      timeline_.actions[rank][i] = {start, start + duration};
      finish(actions[i], start + duration);
    }
    timeline_.busy[rank] += duration;
    free_[rank] = start + duration;
    next_[rank] = last + 1;
    return true;
  }

  void finish(const Action& action, double end) {
    const std::size_t cell = schedule_.cell(action.stage, action.micro_batch);
    if (action.pass == Pass::forward) {
      forward_end_[cell] = end;
      if (action.stage + 1 < schedule_.placement.stages) wake(action.stage + 1, action);
    } else if (action.gives_gradient()) {
      gradient_end_[cell] = end;
      if (action.stage > 0) wake(action.stage - 1, action);
    }
  }

  void wake(int stage, const Action& cause) {
    awake_.push_back(schedule_.rank_of(stage, cause.micro_batch));
  }

  void refuse_stuck_ranks() const {
    std::string stuck;
    for (std::size_t rank = 0; rank < schedule_.ranks.size(); ++rank) {
      if (next_[rank] == schedule_.ranks[rank].size()) continue;
      stuck += "\n  rank " + std::to_string(rank) + " waits before " +
               to_text(schedule_.ranks[rank][next_[rank]]);
    }
    if (!stuck.empty()) throw ScheduleError("the order of actions can never finish:" + stuck);
  }

  const Schedule& schedule_;
  const Costs& costs_;
  std::vector<double> forward_end_;   // per (stage, micro-batch)
  std::vector<double> gradient_end_;  // per (stage, micro-batch)
  std::vector<std::size_t> next_;     // per rank: the action to run next
  std::vector<double> free_;          // per rank: since when it is free
  std::vector<int> awake_;            // ranks that may be able to advance
  Timeline timeline_;
};

}  // namespace

double StageCost::of(Pass pass) const {
  switch (pass) {
    case Pass::forward: return forward;
    case Pass::backward_input: return backward_input;
    case Pass::backward_weight: return backward_weight;
    case Pass::backward: return backward_input + backward_weight;
    case Pass::recompute: return recompute;
  }
  return 0;
}

Costs Costs::even(const Placement& placement, const StageCost& share, double communication) {
  const double chunks = placement.chunks();
  const StageCost chunk{share.forward / chunks, share.backward_input / chunks,
                        share.backward_weight / chunks, share.recompute / chunks};
  return {.stages = std::vector<StageCost>(index(placement.stages), chunk),
          .communication = communication};
}

double Timeline::first_start(int rank) const {
  const auto& intervals = actions[index(rank)];
  return intervals.empty() ? 0 : intervals.front().start;
}

double Timeline::last_end(int rank) const {
  const auto& intervals = actions[index(rank)];
  return intervals.empty() ? 0 : intervals.back().end;
}

double Timeline::makespan() const {
  double latest = 0;
  for (int rank = 0; index(rank) < actions.size(); ++rank) {
    latest = std::max(latest, last_end(rank));
  }
  return latest;
}

double Timeline::span() const {
  double longest = 0;
  for (int rank = 0; index(rank) < actions.size(); ++rank) {
    longest = std::max(longest, last_end(rank) - first_start(rank));
  }
  return longest;
}

double Timeline::bubble_fraction() const {
  double work = 0;
  for (const double time : busy) work += time;
  return 1 - work / (static_cast<double>(busy.size()) * makespan());
}

double Timeline::span_bubble_fraction() const {
  return 1 - *std::max_element(busy.begin(), busy.end()) / span();
}

Timeline simulate(const Schedule& schedule, const Costs& costs) {
  return Player(schedule, costs).play();
}

Traffic traffic(const Schedule& schedule, const Costs& costs, const Timeline& timeline) {
  struct Arrival {
    double time;
    int change;  // +1: a message has arrived; -1: its consumer has started
  };
  const std::size_t ranks = schedule.ranks.size();
  Traffic result{.sent = std::vector<int>(ranks), .waiting_at_most = std::vector<int>(ranks)};
  std::vector<std::vector<Arrival>> changes(ranks);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    for (std::size_t i = 0; i < schedule.ranks[rank].size(); ++i) {
      const auto& [pass, overlaps, stage, micro_batch] = schedule.ranks[rank][i];
      const Interval& interval = timeline.actions[rank][i];
      const bool forward = pass == Pass::forward;
      if (!forward && !schedule.ranks[rank][i].gives_gradient()) continue;
      const int to = stage + (forward ? 1 : -1), from = stage + (forward ? -1 : 1);
      const auto elsewhere = [&](int other) {
        return other >= 0 && other < schedule.placement.stages &&
               index(schedule.rank_of(other, micro_batch)) != rank;
      };
      if (elsewhere(to)) {
        ++result.messages;
        ++result.sent[rank];
        changes[index(schedule.rank_of(to, micro_batch))].push_back(
            {interval.end + costs.communication, 1});
      }
      if (elsewhere(from)) changes[rank].push_back({interval.start, -1});
    }
  }
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    std::sort(changes[rank].begin(), changes[rank].end(), [](const Arrival& a, const Arrival& b) {
      return a.time != b.time ? a.time < b.time : a.change < b.change;
    });
    int waiting = 0;
    for (const Arrival& arrival : changes[rank]) {
      waiting += arrival.change;
      result.waiting_at_most[rank] = std::max(result.waiting_at_most[rank], waiting);
    }
  }
  return result;
}

}  // namespace trireme::schedules
