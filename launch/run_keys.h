#pragma once

#include <vector>

#include "launch/config_keys.h"

namespace trireme::launch {

// The keys that say how a run goes rather than what it trains: schedule, recompute, checkpoint,
// trace, watchdog, run.
std::vector<Key> run_keys();

}  // namespace trireme::launch
