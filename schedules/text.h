#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schedules/schedule.h"

namespace trireme::schedules {

// One rank's actions: "0F0 0F1 [0F2+3BW0] 0B1 0W1". An overlapped pair stands in brackets.
std::string rank_text(const std::vector<Action>& actions);

// Throws ScheduleError, starting with `where`, that names the word and what would do.
std::vector<Action> parse_rank(std::string_view text, const std::string& where);

// A placement in words: "loop", "v", "bidirectional", or the rank of each stage: "0 1 2 2 1 0".
std::string placement_text(const Placement& placement);

// Throws ScheduleError, starting with `where`.
Placement parse_placement(std::string_view text, int ranks, int stages, const std::string& where);

// A whole schedule, as people write it to a file; lines that start with # are comments:
//   schedule: my-own
//   placement: loop
//   stages: 2
//   micro-batches: 2
//   rank 0: 0F0 0F1 0BW0 0BW1
//   rank 1: 1F0 1BW0 1F1 1BW1
std::string schedule_text(const Schedule& schedule);

// Throws ScheduleError with everything that is wrong, as "name:line: ...". What the table means is
// not looked at: check() does that.
Schedule parse_schedule(std::string_view text, const std::string& name);

}  // namespace trireme::schedules
