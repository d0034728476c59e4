#include "schedules/chart_columns.h"

#include <algorithm>
#include <array>

namespace trireme::schedules {
namespace {

// A kind of slot is a pass, or overlapped pairs.
constexpr std::size_t kPairs = 5, kKinds = 6;
constexpr double kRounding = 1e-9;

// The slots that share a column. Shown is the kind that takes most of its time, so that many short
// actions do not look like idle time; of that kind, the longest part.
struct Column {
  std::array<double, kKinds> time{};
  std::array<double, kKinds> longest{};
  std::array<std::size_t, kKinds> slot{};

  void add(std::size_t added, std::size_t kind, double part) {
    time[kind] += part;
    if (part <= longest[kind] + kRounding) return;
    longest[kind] = part;
    slot[kind] = added;
  }

  std::optional<std::size_t> shown() const {
    double idle = 1;
    for (const double part : time) idle -= part;
    const auto most = std::max_element(time.begin(), time.end());
    if (*most < idle - kRounding) return std::nullopt;
    return slot[static_cast<std::size_t>(most - time.begin())];
  }
};

std::vector<Column> columns_of(const std::vector<Action>& actions, const std::vector<Slot>& slots,
                               const Scale& scale) {
  std::vector<Column> columns(static_cast<std::size_t>(scale.columns));
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const bool pair = slots[i].first != slots[i].last;
    const auto kind = pair ? kPairs : static_cast<std::size_t>(actions[slots[i].first].pass);
    const double start = std::max(0.0, slots[i].interval.start * scale.columns_per_unit);
    const double end = slots[i].interval.end * scale.columns_per_unit;
    for (auto at = static_cast<std::size_t>(start); at < columns.size(); ++at) {
      const double left = static_cast<double>(at);
      if (left >= end) break;
      columns[at].add(i, kind, std::min(end, left + 1) - std::max(start, left));
    }
  }
  return columns;
}

bool all_multiples(const std::vector<Slot>& slots, double quantum) {
  const auto multiple = [&](double time) {
    return std::abs(time / quantum - std::round(time / quantum)) < 1e-6;
  };
  return std::all_of(slots.begin(), slots.end(), [&](const Slot& slot) {
    return multiple(slot.interval.start) && multiple(slot.interval.end);
  });
}

}  // namespace

Scale fitting_scale(const std::vector<std::vector<Slot>>& ranks, double makespan, int columns) {
  if (!(makespan > 0)) return {};
  double least = makespan;
  for (const auto& slots : ranks) {
    const double duration = shortest(slots);
    if (duration > 0) least = std::min(least, duration);
  }
  // Durations are often multiples of a half or a third of the shortest.
  for (const int parts : {1, 2, 3, 4}) {
    const double quantum = least / parts;
    const double columns_per_quantum = std::floor(columns * quantum / makespan + kRounding);
    if (columns_per_quantum < 1) break;
    if (std::all_of(ranks.begin(), ranks.end(),
                    [&](const auto& slots) { return all_multiples(slots, quantum); })) {
      Scale scale{.columns_per_unit = columns_per_quantum / quantum};
      scale.columns = scale.column(makespan);
      return scale;
    }
  }
  return {.columns_per_unit = columns / makespan, .columns = columns};
}

std::vector<Run> runs_of(const std::vector<Action>& actions, const std::vector<Slot>& slots,
                         const Scale& scale) {
  std::vector<Run> runs;
  std::optional<std::size_t> previous;
  for (const Column& column : columns_of(actions, slots, scale)) {
    const std::optional<std::size_t> shown = column.shown();
    if (runs.empty() || shown != previous) {
      runs.push_back({.slot = shown ? std::optional(slots[*shown]) : std::nullopt});
    }
    ++runs.back().columns;
    previous = shown;
  }
  return runs;
}

}  // namespace trireme::schedules
