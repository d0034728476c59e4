#include <CLI/CLI.hpp>
#include <cstdio>

#include "launch/commands/commands.h"
#include "launch/config_keys.h"

namespace trireme::launch {

void add_config(CLI::App& app, Command& chosen) {
  auto* command = app.add_subcommand("config", "prints every key of the config file, as Markdown");
  command->footer("Example:\n  trireme config > docs/config.md");
  command->callback([&chosen] {
    chosen = [] {
      std::fputs(config_reference().c_str(), stdout);
      return ExitCode::done;
    };
  });
}

}  // namespace trireme::launch
