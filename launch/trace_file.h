#pragma once

#include <string>
#include <vector>

#include "launch/common_clock.h"
#include "runtime/trace/span_log.h"

namespace trireme::launch {

// Whose trace it is.
struct TracedRank {
  int rank = 0;
  std::string name;      // for people
  std::string pipeline;  // tells its pipeline, within which messages are named, from the others
  CommonClock clock;
};

// Spans in Chrome's trace-event format, JSON that ui.perfetto.dev opens: a process for the rank, a
// thread for each lane, an arrow from a message to the work that it was for. Those of several ranks
// can be joined: process numbers, times and names of messages are the same in all. `spans` are in
// the order of SpanLog::take.
std::string trace_json(const TracedRank& rank, const std::vector<std::string>& lanes,
                       std::vector<runtime::Span> spans);

}  // namespace trireme::launch
