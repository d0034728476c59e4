#pragma once

#include "launch/commands/commands.h"

namespace trireme::launch {

// trireme bench step.
void add_bench_step(CLI::App& bench, Command& chosen);

}  // namespace trireme::launch
