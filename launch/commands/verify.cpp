#include "runtime/train/verify.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "launch/agreement.h"
#include "launch/commands/commands.h"
#include "launch/commands/config_arguments.h"
#include "launch/device_agreement.h"
#include "launch/input_agreement.h"
#include "launch/run_header.h"
#include "schedules/text.h"

namespace trireme::launch {
namespace {

using runtime::Compared;
using runtime::TensorError;
using runtime::Verification;

struct VerifyArguments {
  ConfigArguments config;
  bool json = false;
};

nlohmann::ordered_json json_of(const Compared& compared) {
  return {{"reference", compared.reference},
          {"layout", compared.layout},
          {"relative_error", compared.relative_error}};
}

nlohmann::ordered_json json_of(const TensorError& error) {
  return {{"name", error.name}, {"relative_error", error.relative_error}, {"ulp", error.ulp}};
}

void print_json(const Verification& found) {
  nlohmann::ordered_json json = {{"equivalent", found.equivalent},
                                 {"loss", json_of(found.loss)},
                                 {"grad_norm", json_of(found.gradient_norm)},
                                 {"worst_gradient", json_of(found.worst_gradient)},
                                 {"worst_weight", json_of(found.worst_weight)}};
  if (found.first_wrong) json["first_wrong"] = json_of(*found.first_wrong);
  std::puts(json.dump(2).c_str());
}

void print_text(const runtime::TrainerOptions& options, const Verification& found) {
  const auto number = [](const char* what, const Compared& compared) {
    fmt::print("{:<15} {:<22.10g} one rank {:<22.10g} off by {:.1e}\n", what, compared.layout,
               compared.reference, compared.relative_error);
  };
  const auto tensor = [](const char* what, const TensorError& error) {
    fmt::print("{:<15} {} off by {:.1e} of its norm, {:.1f} ulp of its largest element at most\n",
               what, error.name, error.relative_error, error.ulp);
  };
  fmt::print("{}", plan_text(options));
  number("loss", found.loss);
  number("gradient norm", found.gradient_norm);
  tensor("worst gradient", found.worst_gradient);
  tensor("worst weight", found.worst_weight);
  if (found.first_wrong) tensor("first wrong", *found.first_wrong);
  fmt::print("{}\n", found.equivalent
                         ? "equivalent: this layout trains the model of one rank"
                         : "NOT EQUIVALENT: this layout does not train the model of one rank");
}

ExitCode run_verify(const VerifyArguments& arguments) {
  const auto job = start_job();
  RankSetup setup;
  try {
    all_or_none(*job, [&] { read_config(setup, *job, arguments.config, /*dry_run=*/false); });
    agree_on_device(setup, *job);
    agree_on(*job, "config", text_of_config(setup.loaded));
    all_or_none(*job, [&] { setup.data = open_training_data(setup.loaded); });
    agree_on(*job, "training data", text_of_data(setup.data));
    make_device(setup, *job);
    job->set_phase("verifying");
    const auto world = make_world(setup, *job);
    measure_pipeline(setup, *world);
    agree_on(*job, "schedule", schedules::schedule_text(setup.options.schedule));
    const Verification found =
        runtime::verify(*setup.backend, *world, *setup.data.train, setup.options);
    if (job->rank() == 0 && arguments.json) print_json(found);
    if (job->rank() == 0 && !arguments.json) print_text(setup.options, found);
    return found.equivalent ? ExitCode::done : ExitCode::not_equivalent;
  } catch (const AgreedEnd& end) {
    return end.code;
  } catch (...) {
    end_job(*job, std::current_exception());
  }
}

}  // namespace

void add_verify(CLI::App& app, Command& chosen) {
  auto* command = app.add_subcommand(
      "verify", "trains one step on one rank and on the configured layout, and compares them");
  // Lives as long as the parser that fills it in.
  auto arguments = std::make_shared<VerifyArguments>();
  add_config_arguments(*command, arguments->config);
  command->add_flag("--json", arguments->json, "prints the result as JSON");
  command->footer(
      "Compares the loss, every gradient by its global name, the gradient norm and every weight\n"
      "after the step. Exits with 0 if all of them agree up to the rounding of sums, with 1 if "
      "not,\n"
      "and names the first tensor that is wrong. Rank 0 needs memory for the whole model.\n\n"
      "Examples:\n"
      "  mpirun -np 8 trireme verify configs/quickstart.toml\n"
      "  mpirun -np 4 trireme verify run.toml --tp 2 --pp 2 --set schedule.kind=zb-v --json\n");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return run_verify(*arguments); }; });
}

}  // namespace trireme::launch
