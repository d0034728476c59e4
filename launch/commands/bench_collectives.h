#pragma once

#include "launch/commands/commands.h"

namespace trireme::launch {

// trireme bench collectives.
void add_bench_collectives(CLI::App& bench, Command& chosen);

}  // namespace trireme::launch
