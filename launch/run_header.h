#pragma once

#include <string>

#include "kernels/backend.h"
#include "launch/bootstrap.h"
#include "launch/config_file.h"
#include "launch/console.h"
#include "runtime/train/trainer.h"

namespace trireme::launch {

// Every key with its value and where that came from.
std::string config_with_sources(const LoadedConfig& loaded);

// Bytes of parameters, gradients and optimizer state, which live as long as the run, on the rank
// that holds most: exact but for padding.
double persistent_bytes(const runtime::TrainerOptions& options);

// Bytes of host memory that a copy takes while a checkpoint is written, on that rank; 0 if none is.
double checkpoint_bytes(const runtime::TrainerOptions& options);

// Model, layout, batch and forecast of the memory, known before anything is allocated.
std::string plan_text(const runtime::TrainerOptions& options);

// What was measured before the schedule was made.
std::string costs_text(const runtime::PassCosts& costs);

// Hosts, launcher, device, peak: where the run happens. `hosts` is the host of every rank.
std::string machine_text(const Job& job, const std::vector<std::string>& hosts,
                         const std::string& device, const Scale& scale);

}  // namespace trireme::launch
