#pragma once

#include <string>

#include "schedules/memory.h"

namespace trireme::schedules {

// A timeline in Chrome's trace-event format, JSON that ui.perfetto.dev opens: one process for the
// pipeline, a thread per rank, an arrow for each message between ranks and a counter of what each
// rank holds. One unit of time becomes 1000 microseconds.
std::string perfetto_trace(const Schedule& schedule, const Timeline& timeline,
                           const MemoryModel& model);

}  // namespace trireme::schedules
