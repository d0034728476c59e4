#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "checkpoints/error.h"
#include "checkpoints/hugging_face.h"
#include "checkpoints/store.h"
#include "launch/checkpoint_report.h"
#include "launch/commands/commands.h"
#include "launch/config.h"
#include "launch/console.h"
#include "launch/resolve_model.h"
#include "launch/resume.h"
#include "launch/version.h"
#include "models/parameters.h"

namespace trireme::launch {
namespace {

namespace fs = std::filesystem;

using checkpoints::Checkpoint;
using checkpoints::CheckpointError;

struct Arguments {
  std::string path, other, output, dtype = "fp32";
  double shard_gigabytes = 5;
  bool json = false, dry_run = false;
  std::int64_t keep = 0, keep_every = 0;
};

template <class Report>
void print(const Report& report, bool json) {
  if (json) {
    const std::string text =
        to_json(report).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    std::printf("%s\n", text.c_str());
  } else {
    std::fputs(to_text(report).c_str(), stdout);
  }
}

// The newest one if `path` names several.
fs::path one_at(const std::string& path) { return checkpoints_at(path).front(); }

ExitCode list(const Arguments& arguments) {
  std::vector<ListedCheckpoint> all;
  const checkpoints::Disk disk;
  for (const fs::path& path : checkpoints_at(arguments.path)) {
    auto& one = all.emplace_back();
    one.path = path;
    one.latest = checkpoints::Store(path.parent_path(), disk).latest() == path.filename().string();
    try {
      one.manifest = Checkpoint(path).manifest();
    } catch (const CheckpointError& error) {
      one.problem = error.what();
    }
  }
  print(all, arguments.json);
  return ExitCode::done;
}

ExitCode inspect(const Arguments& arguments) {
  print(Checkpoint(one_at(arguments.path)), arguments.json);
  return ExitCode::done;
}

// Every file that is wrong, not only the first.
VerifiedCheckpoint verify(const fs::path& path) {
  const auto start = std::chrono::steady_clock::now();
  VerifiedCheckpoint verified{.path = path, .problems = {}};
  try {
    Checkpoint checkpoint(path);
    verified.bytes = checkpoint.manifest().bytes();
    for (std::size_t file = 0; file < checkpoint.manifest().files.size(); ++file) {
      try {
        checkpoint.check_file(static_cast<int>(file));
      } catch (const CheckpointError& error) {
        verified.problems.emplace_back(error.what());
      }
    }
  } catch (const CheckpointError& error) {
    verified.problems.emplace_back(error.what());
  }
  verified.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return verified;
}

ExitCode verify(const Arguments& arguments) {
  std::vector<VerifiedCheckpoint> all;
  bool good = true;
  for (const fs::path& path : checkpoints_at(arguments.path)) {
    all.push_back(verify(path));
    good = good && all.back().problems.empty();
  }
  print(all, arguments.json);
  return good ? ExitCode::done : ExitCode::corrupt;
}

ExitCode diff(const Arguments& arguments) {
  Checkpoint first(one_at(arguments.path)), second(one_at(arguments.other));
  const auto found = checkpoints::differences(first, second);
  print(found, arguments.json);
  const bool equal = std::ranges::none_of(found, &checkpoints::TensorDifference::differs);
  return equal ? ExitCode::done : ExitCode::not_equivalent;
}

ExitCode prune(const Arguments& arguments) {
  const fs::path folder = one_at(arguments.path).parent_path();
  const checkpoints::Disk disk;
  const checkpoints::Store store(folder, disk);
  const auto removed = arguments.dry_run ? store.prunable(arguments.keep, arguments.keep_every)
                                         : store.prune(arguments.keep, arguments.keep_every);
  if (arguments.json) {
    std::printf("%s\n", nlohmann::json{{"removed", removed}}.dump().c_str());
    return ExitCode::done;
  }
  for (const std::int64_t step : removed) {
    std::printf("%s %s\n", arguments.dry_run ? "would remove" : "removed",
                store.path_of(step).c_str());
  }
  std::printf("%zu checkpoints are kept\n",
              store.list().size() - (arguments.dry_run ? removed.size() : 0));
  return ExitCode::done;
}

std::string program() {
  const std::string version = version_text();
  return version.substr(0, version.find(','));
}

ExitCode import(const Arguments& arguments) {
  checkpoints::require_hugging_face_folder(arguments.path);
  const models::Shape shape = models::read_hugging_face(arguments.path);
  const checkpoints::Disk disk;
  const fs::path made = checkpoints::import_hugging_face(arguments.path, disk, arguments.output,
                                                         program(), model_toml(shape));
  if (arguments.json) {
    std::printf("%s\n", nlohmann::json{{"checkpoint", made.string()}}.dump().c_str());
    return ExitCode::done;
  }
  std::printf(
      "%s: %s parameters\nto go on from it, put this into the config and add --resume %s\n%s",
      made.c_str(), short_count(static_cast<double>(models::parameter_count(shape))).c_str(),
      made.c_str(), model_toml(shape).c_str());
  return ExitCode::done;
}

ExitCode export_weights(const Arguments& arguments) {
  Checkpoint from(one_at(arguments.path));
  LoadedConfig saved = parse_config(from.manifest().config, from.folder().string(), {});
  models::Shape shape = resolve_model(saved);
  if (saved.any_rejected("model")) throw ConfigError(saved.problems);
  // transformers wants a number where we need none.
  if (shape.max_position_embeddings == 0) {
    shape.max_position_embeddings = saved.config.train.seq_length;
  }
  const checkpoints::Disk disk;
  const checkpoints::ExportOptions options{
      .dtype = arguments.dtype == "bf16"   ? kernels::Dtype::bf16
               : arguments.dtype == "fp16" ? kernels::Dtype::f16
                                           : kernels::Dtype::f32,
      .shard_bytes = static_cast<std::uint64_t>(arguments.shard_gigabytes * 1e9)};
  checkpoints::export_hugging_face(from, shape, disk, arguments.output, options);
  if (arguments.json) {
    std::printf("%s\n",
                nlohmann::json{{"folder", arguments.output}, {"checkpoint", from.folder().string()}}
                    .dump()
                    .c_str());
  } else {
    std::printf("%s: weights of %s in %s\n", arguments.output.c_str(), from.folder().c_str(),
                arguments.dtype.c_str());
  }
  return ExitCode::done;
}

using Action = ExitCode (*)(const Arguments&);

// A command on the checkpoint or folder at `path`.
CLI::App& add(CLI::App& parent, Command& chosen, const char* name, const char* help,
              const char* example, Action action, std::shared_ptr<Arguments>& arguments) {
  auto* command = parent.add_subcommand(name, help);
  arguments = std::make_shared<Arguments>();
  command->add_option("path", arguments->path, "a checkpoint, a folder of some, or a run folder")
      ->required();
  command->add_flag("--json", arguments->json, "the result as JSON");
  command->footer(std::string("Example:\n  ") + example);
  command->callback([arguments, action, &chosen] {
    chosen = [arguments, action] { return action(*arguments); };
  });
  return *command;
}

}  // namespace

void add_checkpoint(CLI::App& app, Command& chosen) {
  auto* parent = app.add_subcommand("checkpoint",
                                    "lists, explains, checks, compares and converts checkpoints");
  parent->require_subcommand(1);
  parent->footer("Example:\n  trireme checkpoint list runs/quickstart");
  std::shared_ptr<Arguments> arguments;
  add(*parent, chosen, "list", "the checkpoints of a run, newest first",
      "trireme checkpoint list runs/quickstart", list, arguments);
  add(*parent, chosen, "inspect", "what is in a checkpoint: state, data, every tensor",
      "trireme checkpoint inspect runs/quickstart/checkpoints/step-00000100", inspect, arguments);
  add(*parent, chosen, "verify", "reads every byte and checks it; exits with 65 if one is wrong",
      "trireme checkpoint verify runs/quickstart", verify, arguments);
  auto& diff_command = add(*parent, chosen, "diff",
                           "compares two checkpoints tensor by tensor; exits with 1 if they differ",
                           "trireme checkpoint diff runs/a/checkpoints/step-00000100 "
                           "runs/b/checkpoints/step-00000100",
                           diff, arguments);
  diff_command.add_option("other", arguments->other, "the other one")->required();
  auto& prune_command =
      add(*parent, chosen, "prune", "removes all but the newest checkpoints",
          "trireme checkpoint prune runs/quickstart --keep 2 --keep-every 1000", prune, arguments);
  prune_command.add_option("--keep", arguments->keep, "how many of the newest stay")
      ->required()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  prune_command
      .add_option("--keep-every", arguments->keep_every,
                  "those of a step that this divides stay too; 0: none")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40));
  prune_command.add_flag("--dry-run", arguments->dry_run, "only says what would be removed");
  auto& import_command = add(
      *parent, chosen, "import",
      "makes a checkpoint of a Hugging Face folder: Llama, Mistral, Qwen2, Qwen3 or GPT-2",
      "trireme checkpoint import models/Llama-3.2-1B --output imported/llama", import, arguments);
  import_command.get_option("path")->description("the folder with config.json and safetensors");
  import_command.add_option("--output", arguments->output, "a folder of checkpoints, for step 0")
      ->required();
  auto& export_command =
      add(*parent, chosen, "export",
          "writes the weights of a checkpoint as a folder that transformers loads",
          "trireme checkpoint export runs/quickstart --output exported/quickstart --dtype bf16",
          export_weights, arguments);
  export_command.add_option("--output", arguments->output, "the folder to make")->required();
  export_command.add_option("--dtype", arguments->dtype, "of the weights")
      ->check(CLI::IsMember({"fp32", "bf16", "fp16"}))
      ->capture_default_str();
  export_command
      .add_option("--shard-gigabytes", arguments->shard_gigabytes,
                  "the weights are split into files of at most so much")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

}  // namespace trireme::launch
