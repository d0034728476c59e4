#pragma once

#include "launch/rank_setup.h"

namespace CLI {
class App;
}

namespace trireme::launch {

// CONFIG, --set and the short flags: --tp 2 is short for --set parallel.tensor=2. `arguments` must
// live as long as the parser.
void add_config_arguments(CLI::App& command, ConfigArguments& arguments);

}  // namespace trireme::launch
