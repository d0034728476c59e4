#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "launch/commands/commands.h"
#include "launch/version.h"

namespace {

using trireme::launch::ExitCode;

// --global_batch and --global-batch are one option; what follows an = is left alone.
std::vector<std::string> arguments(int count, char** values) {
  std::vector<std::string> all(values + 1, values + count);
  for (std::string& argument : all) {
    if (!argument.starts_with("--")) continue;
    const auto end = argument.begin() +
                     static_cast<std::ptrdiff_t>(std::min(argument.find('='), argument.size()));
    std::replace(argument.begin(), end, '_', '-');
  }
  std::reverse(all.begin(), all.end());  // the order CLI11 wants
  return all;
}

// Under a launcher every rank reads the same command line; one of them speaks.
bool speaks() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (const char* rank = std::getenv(variable)) return std::string(rank) == "0";
  }
  return true;
}

// CLI11 only says that a command is missing.
std::string unknown_command(const CLI::App& app, int count, char** values) {
  const std::string first = count > 1 ? values[1] : "";
  if (first.empty() || first.starts_with("-")) return "";
  std::string known;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == first) return "";
    known += (known.empty() ? "" : ", ") + command->get_name();
  }
  return "unknown command \"" + first + "\"; the commands are " + known;
}

int run(int count, char** values) {
  CLI::App app("trireme trains transformer language models on many nodes, from one binary.",
               "trireme");
  app.require_subcommand(1);
  app.set_version_flag("--version", trireme::launch::version_text());
  trireme::launch::Command chosen;
  trireme::launch::add_train(app, chosen);
  trireme::launch::add_verify(app, chosen);
  trireme::launch::add_schedule(app, chosen);
  trireme::launch::add_data(app, chosen);
  trireme::launch::add_checkpoint(app, chosen);
  trireme::launch::add_bench(app, chosen);
  trireme::launch::add_config(app, chosen);
  try {
    app.parse(arguments(count, values));
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    const std::string unknown = unknown_command(app, count, values);
    if (!speaks()) return static_cast<int>(ExitCode::usage);
    std::fprintf(stderr, "error: %s\n", unknown.empty() ? error.what() : unknown.c_str());
    std::fprintf(stderr, "trireme --help and trireme COMMAND --help say what there is\n");
    return static_cast<int>(ExitCode::usage);
  }
  return static_cast<int>(chosen());
}

}  // namespace

int main(int count, char** values) {
  trireme::kernels::prepare_cuda();
  try {
    const int code = run(count, values);
    // What could not be written, to a full disk perhaps, was not said.
    const bool is_written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
    if (is_written || code != 0) return code;
    std::fprintf(stderr, "error: standard output cannot be written\n");
    return static_cast<int>(ExitCode::io);
  } catch (...) {
    const auto failure = trireme::launch::failure_of(std::current_exception());
    std::fprintf(stderr, "error: %s\n", failure.message.c_str());
    return static_cast<int>(failure.code);
  }
}
