#include "schedules/drawing.h"

#include <algorithm>
#include <cmath>

namespace trireme::schedules {

const char* label_of(Pass pass) {
  switch (pass) {
    case Pass::forward: return "F forward";
    case Pass::backward_input: return "B backward (input)";
    case Pass::backward_weight: return "W backward (weights)";
    case Pass::backward: return "BW backward";
    case Pass::recompute: return "R recompute";
  }
  return "";
}

std::string shape_text(const Schedule& schedule) {
  return "p = " + std::to_string(schedule.placement.ranks) +
         ", m = " + std::to_string(schedule.micro_batches) +
         ", v = " + short_text(schedule.placement.chunks());
}

double round_step(double least) {
  if (!(least > 0) || !std::isfinite(least)) return 1;
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::vector<int> evenly_chosen(int count, int most) {
  const int chosen = std::min(count, std::max(most, 1));
  std::vector<int> result;
  for (int i = 0; i < chosen; ++i) {
    const int gaps = std::max(chosen - 1, 1);
    result.push_back(static_cast<int>((static_cast<long long>(i) * (count - 1) + gaps / 2) / gaps));
  }
  return result;
}

std::vector<Pass> passes_of(const Schedule& schedule) {
  std::vector<Pass> passes;
  for (const auto& actions : schedule.ranks) {
    for (const Action& action : actions) {
      if (std::find(passes.begin(), passes.end(), action.pass) == passes.end()) {
        passes.push_back(action.pass);
      }
    }
  }
  std::sort(passes.begin(), passes.end());
  return passes;
}

double idle_fraction(const Timeline& timeline, int rank) {
  const double makespan = timeline.makespan();
  return makespan > 0 ? 1 - timeline.busy[static_cast<std::size_t>(rank)] / makespan : 0;
}

std::vector<Slot> slots_of(const Schedule& schedule, const Timeline& timeline, int rank) {
  const auto& actions = schedule.ranks[static_cast<std::size_t>(rank)];
  const auto& intervals = timeline.actions[static_cast<std::size_t>(rank)];
  std::vector<Slot> slots;
  for (std::size_t i = 0; i < actions.size(); ++i) {
    Slot slot{.first = i, .last = i, .interval = intervals[i]};
    while (actions[slot.last].overlaps_next && slot.last + 1 < actions.size()) {
      const Interval& other = intervals[++slot.last];
      slot.interval = {std::min(slot.interval.start, other.start),
                       std::max(slot.interval.end, other.end)};
    }
    i = slot.last;
    slots.push_back(slot);
  }
  return slots;
}

double shortest(const std::vector<Slot>& slots) {
  double least = 0;
  for (const Slot& slot : slots) {
    const double duration = slot.interval.end - slot.interval.start;
    if (duration > 0 && (least == 0 || duration < least)) least = duration;
  }
  return least;
}

std::vector<MemoryPoint> memory_steps(const Schedule& schedule, const Timeline& timeline,
                                      const MemoryModel& model, int rank) {
  const double moment = 1e-9 * timeline.makespan();  // rounding of times that are the same
  std::vector<MemoryPoint> steps;
  for (const MemoryPoint& point : memory_over_time(schedule, timeline, model, rank)) {
    if (!steps.empty() && point.time - steps.back().time <= moment) steps.pop_back();
    if (steps.empty() || steps.back().held != point.held) steps.push_back(point);
  }
  return steps;
}

Chunks::Chunks(const Schedule& schedule) : schedule_(schedule) {
  std::vector<int> held(static_cast<std::size_t>(schedule.placement.ranks), 0);
  for (const auto& ranks : schedule.placement.rank_of) {
    std::vector<int>& chunks = chunk_of_.emplace_back();
    for (const int rank : ranks) chunks.push_back(held[static_cast<std::size_t>(rank)]++);
  }
  for (const int count : held) count_ = std::max(count_, count);
}

}  // namespace trireme::schedules
