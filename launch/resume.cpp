#include "launch/resume.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "checkpoints/checkpoint.h"
#include "checkpoints/error.h"
#include "checkpoints/store.h"
#include "launch/config_keys.h"

namespace trireme::launch {
namespace {

namespace fs = std::filesystem;

// The shape of the tensors follows from these.
constexpr std::array kShapeKeys = {"model.model_type",
                                   "model.hidden_size",
                                   "model.intermediate_size",
                                   "model.num_hidden_layers",
                                   "model.num_attention_heads",
                                   "model.num_key_value_heads",
                                   "model.head_dim",
                                   "model.vocab_size",
                                   "model.tie_word_embeddings",
                                   "model.attention_bias",
                                   "model.qk_norm"};
// Which tokens sample number n has follows from these.
constexpr std::array kSampleKeys = {"train.seed", "data.shuffle", "data.validation_fraction"};
// Where things are, and what the other keys already say.
constexpr std::array kUntold = {"run.dir", "checkpoint.dir", "checkpoint.resume", "model.preset",
                                "model.hf_config"};

bool is_among(const std::string& key, const auto& keys) {
  return std::ranges::find(keys, key) != keys.end();
}

std::vector<fs::path> paths_in(const fs::path& folder) {
  const checkpoints::Disk disk;
  std::vector<fs::path> paths;
  for (const auto& entry : checkpoints::Store(folder, disk).list()) paths.push_back(entry.path);
  return paths;
}

// checkpoint.resume of the run that wrote a checkpoint; nothing if it cannot be read.
std::optional<std::string> resume_of(const fs::path& path) {
  try {
    const checkpoints::Checkpoint checkpoint(path);
    return parse_config(checkpoint.manifest().config, path.string(), {}).config.checkpoint.resume;
  } catch (const checkpoints::CheckpointError&) {
    return std::nullopt;
  }
}

}  // namespace

Reset parse_reset(const std::string& text) {
  Reset reset;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    if (word == "optimizer") {
      reset.optimizer = true;
    } else if (word == "data") {
      reset.data = true;
    } else if (word == "schedule") {
      reset.schedule = true;
    } else {
      throw UsageError("--reset " + text + ": \"" + word +
                       "\" is none of optimizer, data, schedule; give some of them, joined by "
                       "commas");
    }
  }
  return reset;
}

fs::path checkpoint_folder(const Config& config) {
  const std::string& dir = config.checkpoint.dir;
  return fs::path(dir.empty() ? config.run.dir : dir) / "checkpoints";
}

std::vector<fs::path> checkpoints_at(const std::string& given) {
  fs::path path = given;
  if (!path.has_filename()) path = path.parent_path();  // "checkpoints/"
  const bool is_one = path.filename().string().starts_with("step-") && fs::is_directory(path);
  if (is_one || fs::exists(path / checkpoints::kManifest)) return {path};
  for (const fs::path& folder : {path, path / "checkpoints"}) {
    if (auto found = paths_in(folder); !found.empty()) return found;
  }
  throw checkpoints::CheckpointError(
      checkpoints::Fault::missing,
      given + ": is no checkpoint, and there is none in it or in its folder checkpoints");
}

Candidates resume_candidates(const Config& config) {
  const std::string& resume = config.checkpoint.resume;
  if (resume == "never") return {};
  std::vector<fs::path> own = paths_in(checkpoint_folder(config));
  if (resume == "auto") return {.paths = std::move(own)};
  for (const fs::path& path : own) {
    const auto given = resume_of(path);
    if (!given) continue;  // is not good: what is older tells
    if (*given == resume) return {.paths = std::move(own), .begun = true};
    break;
  }
  return {.paths = checkpoints_at(resume)};
}

std::vector<ChangedKey> compare_with_saved(LoadedConfig& loaded,
                                           const checkpoints::Manifest& manifest,
                                           const std::string& checkpoint, const Reset& reset) {
  const LoadedConfig saved = parse_config(manifest.config, checkpoint + "/manifest.json", {});
  std::vector<ChangedKey> changes;
  const auto follows = [&](const std::string& name) {
    return loaded.place_of(name) == "default" && loaded.any_rejected("model");
  };
  for (const Key& key : config_keys()) {
    if (!saved.places.contains(key.name)) continue;
    const std::string before = key.write(saved.config), now = key.write(loaded.config);
    if (before == now || is_among(key.name, kUntold)) continue;
    const bool learned_positions = key.name == "model.max_position_embeddings" &&
                                   loaded.config.model.model_type == models::Family::gpt2;
    if (is_among(key.name, kShapeKeys) || learned_positions) {
      if (follows(key.name)) continue;  // from another one, which is named
      loaded.reject(key.name, "must be " + before + ", as in the checkpoint " + checkpoint +
                                  "; to train another model, use another run.dir or "
                                  "checkpoint.resume = \"never\"");
    } else if (is_among(key.name, kSampleKeys) && !reset.data) {
      loaded.reject(key.name,
                    "must be " + before + ", as in the checkpoint " + checkpoint +
                        ", or samples would come twice; or start them anew with --reset data");
    } else {
      changes.push_back(
          {.key = key.name, .before = before, .now = now, .place = loaded.place_of(key.name)});
    }
  }
  return changes;
}

checkpoints::Progress progress_after(checkpoints::Progress progress, const Reset& reset) {
  if (reset.optimizer) progress.updates = 0;
  if (reset.data) progress.samples = 0;
  if (reset.schedule) {
    progress.step = progress.tokens = progress.skipped_steps = progress.skipped_in_a_row = 0;
  }
  return progress;
}

}  // namespace trireme::launch
