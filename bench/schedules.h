#pragma once

#include <string>
#include <vector>

#include "schedules/catalog.h"

namespace trireme::bench {

// A searched schedule beside the best one known for the same pipeline, costs and memory limit.
struct SearchResult {
  schedules::Request request;
  std::string costs;  // their name
  std::string reference_kind;
  double found = 0;
  double reference = 0;
  double lower_bound = 0;
  double seconds = 0;  // of the search

  // Below zero: the searched schedule is better.
  double excess() const { return found / reference - 1; }
};

struct SearchOptions {
  double effort = 1;
  int every = 1;  // of the cases, so many are left out but one
  // A file of targets: {"columns", "shapes": [{"placement", "p", "m", "v", "targets": [[costs,
  // memory limit, weight fraction, makespan, span], ...]}, ...]}. Empty: `auto` against every other
  // kind that fits, over a grid of pipelines.
  std::string targets;
};

std::vector<SearchResult> run_searches(const SearchOptions& options);

// What one part of the library takes, on one thread.
struct ScheduleSpeed {
  std::string what;
  double actions = 0;
  double seconds = 0;
};

std::vector<ScheduleSpeed> run_schedule_speeds();

}  // namespace trireme::bench
