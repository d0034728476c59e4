#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/manifest.h"
#include "launch/bootstrap.h"
#include "launch/config_file.h"

namespace trireme::launch {

// What of a checkpoint a run does not go on with, for fine-tuning.
struct Reset {
  bool optimizer = false;  // AdamW's moments start at zero, and with them the count of updates
  bool data = false;       // samples start at the first
  bool schedule = false;   // steps start at 1, and with them the learning rate

  bool operator==(const Reset&) const = default;
};

// "optimizer,data,schedule", or some of them. Throws UsageError.
Reset parse_reset(const std::string& text);

// Where a run's own checkpoints are.
std::filesystem::path checkpoint_folder(const Config& config);

// The checkpoint at a path; or those in the folder, or run folder, that it is, newest first. Throws
// CheckpointError{missing} if there is none.
std::vector<std::filesystem::path> checkpoints_at(const std::string& path);

// What a run may go on from, the sooner the better.
struct Candidates {
  std::vector<std::filesystem::path> paths;
  // checkpoint.resume names a path, and this run has begun there already: these are its own.
  bool begun = false;
};

// What checkpoint.resume names: the run's own checkpoints, newest first; or the checkpoint, or
// those in the folder, that it gives the path of, unless the newest of its own comes from a run
// that was given the same path. Throws CheckpointError{missing} if there is nothing at that path.
Candidates resume_candidates(const Config& config);

// A key whose value is not what it was.
struct ChangedKey {
  std::string key, before, now, place;
};

// Compares the config of a checkpoint with the one of this run. What the tensors or the samples of
// the checkpoint do not fit becomes a problem of `loaded`; the rest is returned.
std::vector<ChangedKey> compare_with_saved(LoadedConfig& loaded,
                                           const checkpoints::Manifest& manifest,
                                           const std::string& checkpoint, const Reset& reset);

// What a run that goes on from a checkpoint has behind it.
checkpoints::Progress progress_after(checkpoints::Progress progress, const Reset& reset);

}  // namespace trireme::launch
