#pragma once

#include "schedules/program.h"
#include "schedules/search.h"

namespace trireme::schedules {

// Small pure functions from a schedule to a schedule, or from a program to a program.

// Every whole backward pass in two halves, one right after the other. Pairs stay whole.
Schedule split_backward(const Schedule& schedule);

// The two passes of every pair one after the other, in their order: for ranks that run one pass at
// a time, as trireme's do. The first's result leaves when it is there, and the second's input may
// come later; the makespan is no longer, the memory no larger.
Schedule take_pairs_apart(const Schedule& schedule);

// The two halves of a backward pass become one where they are neighbors. A whole pass can overlap
// tensor-parallel communication of one half with the products of the other; it gives its gradient
// later.
Schedule merge_backward(const Schedule& schedule);

// The same, but only where the objective does not get worse: what a schedule gains from the split,
// it keeps. Ranks are visited one by one.
Schedule merge_free_splits(const Schedule& schedule, const Costs& costs, Objective objective);

// The same stages on the same ranks, forward passes alone, one micro-batch after the other: what an
// evaluation runs.
Schedule forward_only(const Schedule& schedule);

// gather_parameters before the first action of every stage on a rank, reduce_gradients after the
// last weight gradient of every stage on a rank and the messages that leave with it.
Program with_parameter_communication(Program program);

}  // namespace trireme::schedules
