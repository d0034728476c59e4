#pragma once

#include <string>
#include <vector>

#include "schedules/text.h"

namespace trireme::schedules {

// A schedule as a reader sees it, each rank in words.
inline Schedule written(const Placement& placement, int micro_batches,
                        const std::vector<std::string>& ranks) {
  Schedule schedule{
      .kind = "written", .placement = placement, .micro_batches = micro_batches, .ranks = {}};
  for (const std::string& rank : ranks) schedule.ranks.push_back(parse_rank(rank, "written: "));
  return schedule;
}

}  // namespace trireme::schedules
