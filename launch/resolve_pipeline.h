#pragma once

#include "launch/config_file.h"
#include "runtime/train/trainer.h"

namespace trireme::launch {

// Tensor-parallel ranks must be able to share the model; adds what is wrong to the problems, with
// the numbers that would do.
void check_tensor(LoadedConfig& loaded, const models::Shape& shape);

// Chooses the schedule and shares the layers out over its stages. Needs the model, the mesh and the
// batch in `options` to be right; what is wrong after that becomes a problem.
void resolve_pipeline(LoadedConfig& loaded, runtime::TrainerOptions& options);

}  // namespace trireme::launch
