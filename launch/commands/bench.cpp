#include <CLI/CLI.hpp>

#include "launch/commands/commands.h"

namespace trireme::launch {

void add_bench(CLI::App&, Command&) {}

}  // namespace trireme::launch
