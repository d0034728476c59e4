#pragma once

#include <string>

#include "schedules/memory.h"

namespace trireme::schedules {

// A timeline as a figure for a paper: a lane per rank, idle time hatched, and below it the memory
// that some ranks hold, in micro-batches. Every action is one rectangle whose title is its
// to_text(); its micro-batch is written into it if there is room.
std::string svg(const Schedule& schedule, const Timeline& timeline, const MemoryModel& model);

}  // namespace trireme::schedules
