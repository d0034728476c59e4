#pragma once

#include <string>

#include "schedules/memory.h"

namespace trireme::schedules {

struct ChartOptions {
  int columns = 100;     // of the terminal; time keeps at least 20 of them
  bool color = false;    // 256-color backgrounds instead of letters
  int most_ranks = 64;   // of more ranks, these are shown, evenly chosen
  MemoryModel memory{};  // for the peak of each rank, in micro-batches
};

// A timeline for a terminal or a log: a ruler of times, a line per rank with its peak memory and
// the part of the makespan it idles, and a legend. Cells with room for it show their micro-batch.
std::string chart(const Schedule& schedule, const Timeline& timeline, const ChartOptions& options);

}  // namespace trireme::schedules
