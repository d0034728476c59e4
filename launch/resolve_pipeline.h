#pragma once

#include "launch/config_file.h"
#include "runtime/train/trainer.h"

namespace trireme::launch {

// Tensor-parallel ranks must be able to share the model; adds what is wrong to the problems, with
// the numbers that would do. Sizes that are wrong themselves say nothing.
void check_tensor(LoadedConfig& loaded, const models::Shape& shape);

// Chooses the schedule and shares the layers out over its stages; what is wrong becomes a problem.
// Where the model or the batch is wrong there is no schedule, but stages that cannot be are still
// found.
void resolve_pipeline(LoadedConfig& loaded, runtime::TrainerOptions& options);

}  // namespace trireme::launch
