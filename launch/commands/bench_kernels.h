#pragma once

#include "launch/commands/commands.h"

namespace trireme::launch {

// trireme bench kernels.
void add_bench_kernels(CLI::App& bench, Command& chosen);

}  // namespace trireme::launch
