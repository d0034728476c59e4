#pragma once

#include <string>
#include <vector>

#include "schedules/memory.h"

namespace trireme::schedules {

// Everything that is wrong with a schedule, in words that name the rank and the action; empty if
// any executor can run it. In this order, each only if the ones before it hold:
// structure: every stage runs every micro-batch forward once and backward once, whole or in
// halves, on the rank that the placement names, in an order that makes sense on that rank;
// dependencies: ranks do not wait for each other in a cycle.
std::vector<std::string> problems_of(const Schedule& schedule);

// Ranks that hold more than their limit (one value per rank, in micro-batches of a rank's share).
std::vector<std::string> memory_problems(const Schedule& schedule,
                                         const std::vector<double>& limits,
                                         const MemoryModel& model);

// Throws ScheduleError with all problems, one per line.
void check(const Schedule& schedule);

// The actions that a cycle of waiting goes through: "0B0 on rank 0 waits for 1B0 on rank 1, ...".
struct WaitingAction {
  std::string name;
  int rank = 0;
};
std::string describe_cycle(const std::vector<WaitingAction>& cycle);

}  // namespace trireme::schedules
