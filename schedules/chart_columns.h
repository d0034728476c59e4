#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include "schedules/drawing.h"

namespace trireme::schedules {

// How time becomes columns of a terminal.
struct Scale {
  double columns_per_unit = 0;
  int columns = 0;  // of the makespan

  int column(double time) const { return static_cast<int>(std::lround(time * columns_per_unit)); }
  // Columns that a duration has wherever it begins.
  int whole_columns(const Interval& interval) const {
    return static_cast<int>(std::floor((interval.end - interval.start) * columns_per_unit + 1e-6));
  }
};

// The largest scale that fits. If every start and end can be a whole number of columns, equal times
// get equal widths, though they may not fill the last columns; otherwise all are used.
Scale fitting_scale(const std::vector<std::vector<Slot>>& ranks, double makespan, int columns);

// A run of columns that show the same slot, or, without one, nothing.
struct Run {
  std::optional<Slot> slot;
  int columns = 0;
};

// What each column of a rank shows, from left to right.
std::vector<Run> runs_of(const std::vector<Action>& actions, const std::vector<Slot>& slots,
                         const Scale& scale);

}  // namespace trireme::schedules
