#include "schedules/memory.h"

#include <algorithm>
#include <cmath>

namespace trireme::schedules {
namespace {

// What an action acquires at its start and releases at its end, in chunks.
struct Change {
  double acquired = 0;
  double released = 0;
};

class Ledger {
 public:
  Ledger(const Schedule& schedule, const MemoryModel& model)
      : model_(model), recomputed_(schedule.cells(), false), schedule_(schedule) {
    for (const auto& actions : schedule.ranks) {
      for (const Action& action : actions) {
        if (action.pass == Pass::recompute) recomputed_[cell(action)] = true;
      }
    }
  }

  Change of(const Action& action) const {
    const double kept = recomputed_[cell(action)] ? model_.recompute_fraction : 1;
    switch (action.pass) {
      case Pass::forward: return {.acquired = kept};
      case Pass::recompute: return {.acquired = 1 - kept};
      case Pass::backward: return {.released = 1};
      case Pass::backward_input: return {.released = 1 - model_.weight_fraction};
      case Pass::backward_weight: return {.released = model_.weight_fraction};
    }
    return {};
  }

 private:
  std::size_t cell(const Action& action) const {
    return schedule_.cell(action.stage, action.micro_batch);
  }

  MemoryModel model_;
  std::vector<bool> recomputed_;  // per (stage, micro-batch)
  const Schedule& schedule_;
};

}  // namespace

std::vector<double> peak_memory(const Schedule& schedule, const MemoryModel& model) {
  const Ledger ledger(schedule, model);
  std::vector<double> peaks;
  for (const auto& actions : schedule.ranks) {
    double held = 0, peak = 0, released = 0;
    for (const Action& action : actions) {
      const Change change = ledger.of(action);
      held += change.acquired;
      peak = std::max(peak, held);
      released += change.released;
      if (action.overlaps_next) continue;  // the pair ends together
      held -= released;
      released = 0;
    }
    // Fractions of a chunk add up to whole ones again; rounding must not show in a limit.
    peaks.push_back(std::round(peak * 1e9) / 1e9 / schedule.placement.chunks());
  }
  return peaks;
}

std::vector<MemoryPoint> memory_over_time(const Schedule& schedule, const Timeline& timeline,
                                          const MemoryModel& model, int rank) {
  const Ledger ledger(schedule, model);
  const auto& actions = schedule.ranks[static_cast<std::size_t>(rank)];
  std::vector<MemoryPoint> curve = {{0, 0}};
  double held = 0, released = 0;
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const Interval& interval = timeline.actions[static_cast<std::size_t>(rank)][i];
    const Change change = ledger.of(actions[i]);
    held += change.acquired / schedule.placement.chunks();
    released += change.released / schedule.placement.chunks();
    if (change.acquired > 0) curve.push_back({interval.start, held});
    if (actions[i].overlaps_next || released == 0) continue;
    held -= released;
    released = 0;
    curve.push_back({interval.end, held});
  }
  return curve;
}

}  // namespace trireme::schedules
