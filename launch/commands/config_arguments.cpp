#include "launch/commands/config_arguments.h"

#include <CLI/CLI.hpp>

namespace trireme::launch {
namespace {

void add_short(CLI::App& command, const char* flag, const char* key,
               std::vector<std::string>& settings) {
  command.add_option_function<std::string>(
      flag,
      [&settings, key](const std::string& value) {
        settings.push_back(std::string(key) + "=" + value);
      },
      std::string("short for --set ") + key + "=N");
}

}  // namespace

void add_config_arguments(CLI::App& command, ConfigArguments& arguments) {
  command.add_option("config", arguments.path, "the run's TOML file")->required();
  command
      .add_option("--set", arguments.settings, "section.key=value, wins over the file; repeatable")
      ->allow_extra_args(false);
  add_short(command, "--tp", "parallel.tensor", arguments.settings);
  add_short(command, "--pp", "parallel.pipeline", arguments.settings);
  add_short(command, "--dp", "parallel.data", arguments.settings);
  add_short(command, "--cp", "parallel.context", arguments.settings);
  add_short(command, "--ep", "parallel.expert", arguments.settings);
}

}  // namespace trireme::launch
