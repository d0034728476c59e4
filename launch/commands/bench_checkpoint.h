#pragma once

#include "launch/commands/commands.h"

namespace trireme::launch {

// trireme bench checkpoint.
void add_bench_checkpoint(CLI::App& bench, Command& chosen);

}  // namespace trireme::launch
