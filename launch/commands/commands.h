#pragma once

#include <functional>
#include <string>

#include "launch/exit_code.h"

namespace CLI {
class App;
}

namespace trireme::launch {

// What the command line asked to do, once it has been read.
using Command = std::function<ExitCode()>;

// Each adds one command to the line and sets `chosen` if it is the one given.
void add_train(CLI::App& app, Command& chosen);
void add_verify(CLI::App& app, Command& chosen);
void add_schedule(CLI::App& app, Command& chosen);
void add_data(CLI::App& app, Command& chosen);
void add_bench(CLI::App& app, Command& chosen);
void add_checkpoint(CLI::App& app, Command& chosen);
void add_config(CLI::App& app, Command& chosen);

}  // namespace trireme::launch
