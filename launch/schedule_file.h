#pragma once

#include <string>
#include <vector>

#include "schedules/simulate.h"

namespace trireme::launch {

// A user's own schedule: the text form of schedules/text.h, or the JSON that `trireme schedule
// --json` prints, of which `stages` (ranks), `micro_batches`, `virtual_stages`, `placement` and
// `actions` are read. Throws MissingInput if it cannot be read, ScheduleError with every problem if
// it is malformed or could not run.
schedules::Schedule read_schedule(const std::string& path);

// A JSON array with one row [F, B, W] of times per stage.
std::vector<schedules::StageCost> read_stage_costs(const std::string& path);

}  // namespace trireme::launch
