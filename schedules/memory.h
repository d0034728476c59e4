#pragma once

#include <optional>
#include <vector>

#include "schedules/simulate.h"

namespace trireme::schedules {

// What a rank keeps of a micro-batch between its passes, in activations of one micro-batch for a
// rank's whole share; a chunk keeps the same fraction each. A forward pass acquires it at its
// start; the gradient of the input releases what the gradient of the weights does not need.
struct MemoryModel {
  // Share held until backward_weight. The rest goes when backward_input ends.
  double weight_fraction = 1;
  // Share a forward pass keeps if the schedule recomputes it later; recompute acquires the rest.
  double recompute_fraction = 0;
};

// Largest amount a rank holds at any time. Depends on the order of actions only.
std::vector<double> peak_memory(const Schedule& schedule, const MemoryModel& model);

// A step function: `held` from `time` on.
struct MemoryPoint {
  double time = 0;
  double held = 0;
};

std::vector<MemoryPoint> memory_over_time(const Schedule& schedule, const Timeline& timeline,
                                          const MemoryModel& model, int rank);

}  // namespace trireme::schedules
