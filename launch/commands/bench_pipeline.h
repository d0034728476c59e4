#pragma once

#include "launch/commands/commands.h"

namespace trireme::launch {

// trireme bench pipeline.
void add_bench_pipeline(CLI::App& bench, Command& chosen);

}  // namespace trireme::launch
