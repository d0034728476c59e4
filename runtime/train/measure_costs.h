#pragma once

#include "kernels/backend.h"
#include "runtime/train/pass_costs.h"
#include "runtime/train/trainer.h"

namespace trireme::runtime {

// Seconds, with this layout's tensor parallelism and recomputation: every rank runs a few
// micro-batches of random tokens through an embedding, a layer and a head of its own. The fastest
// of five, averaged over the ranks. Collective; the same on every rank. Needs memory for these
// three units; the schedule and the stages of `options` are not looked at, but for their number.
PassCosts measure_pass_costs(kernels::Backend& backend, Communicator& world,
                             const TrainerOptions& options);

}  // namespace trireme::runtime
