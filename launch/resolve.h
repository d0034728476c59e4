#pragma once

#include <string>

#include "launch/config_file.h"
#include "runtime/train/trainer.h"

namespace trireme::launch {

// How many ranks a layout needs at the least; above kMostRanks there is none. Exact up to there.
double ranks_asked_for(const ParallelSection& parallel);

// Checks everything that follows from the config and the number of ranks, without touching a
// device or a data file; adds to the config's problems what it finds. Fills in what "auto" and
// presets stand for, so that the config is the one that runs.
runtime::TrainerOptions resolve(LoadedConfig& loaded, int world);

}  // namespace trireme::launch
