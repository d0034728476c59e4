#pragma once

#include <vector>

#include "schedules/schedule.h"

namespace trireme::schedules {

// Time of one micro-batch through one stage, in any unit.
struct StageCost {
  double forward = 1;
  double backward_input = 1;
  double backward_weight = 1;
  double recompute = 1;

  double of(Pass pass) const;
  // Forward and backward, without recomputation.
  double whole() const { return forward + backward_input + backward_weight; }
};

// What passes and messages take.
struct Costs {
  std::vector<StageCost> stages;
  // From the end of a pass until its result is on another rank. Messages never wait for each other
  // and never for the device; on one rank the hand-off is free.
  double communication = 0;
  // Time of two overlapped passes, relative to one after the other.
  double overlap = 1;

  // A rank's whole share of a micro-batch costs `share`, a chunk of it the same fraction each.
  static Costs even(const Placement& placement, const StageCost& share, double communication = 0);
};

struct Interval {
  double start = 0;
  double end = 0;
};

// A schedule in time. Ranks run their lists in order, one action at a time, each as soon as the one
// before it has ended and its inputs have arrived.
struct Timeline {
  std::vector<std::vector<Interval>> actions;  // as Schedule::ranks
  std::vector<double> busy;                    // per rank: the time of its actions

  double first_start(int rank) const;
  double last_end(int rank) const;
  // Last end over all ranks: the time of a step whose optimizer waits for every rank.
  double makespan() const;
  // Longest time between a rank's own first start and last end: the time of a step when ranks need
  // not wait for each other between steps (the zero-bubble paper's cost).
  double span() const;
  // 1 - work / (ranks * makespan).
  double bubble_fraction() const;
  // 1 - the busiest rank's work / span.
  double span_bubble_fraction() const;
};

// Throws ScheduleError, naming the first action of each rank that can never start, if the order of
// actions contradicts what they need.
Timeline simulate(const Schedule& schedule, const Costs& costs);

// No schedule of these stages on these ranks has a smaller makespan or span, respectively: a rank
// cannot start before its first input exists, nor stop before its last result has been used.
double makespan_lower_bound(const Placement& placement, int micro_batches, const Costs& costs);
double span_lower_bound(const Placement& placement, int micro_batches, const Costs& costs);

// Messages between ranks: sent in all, and per rank the largest number that have arrived but are
// not yet in use.
struct Traffic {
  int messages = 0;
  std::vector<int> sent;             // per rank
  std::vector<int> waiting_at_most;  // per rank
};

Traffic traffic(const Schedule& schedule, const Costs& costs, const Timeline& timeline);

}  // namespace trireme::schedules
