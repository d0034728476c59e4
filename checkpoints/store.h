#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/disk.h"
#include "checkpoints/manifest.h"

namespace trireme::checkpoints {

// The folder of a run's checkpoints. A checkpoint is a folder step-N with a manifest; it gets this
// name when everything in it is on the disk, so it is whole or it is not there.
class Store {
 public:
  struct Entry {
    std::int64_t step = 0;
    std::filesystem::path path;
  };

  // `disk` is borrowed.
  Store(std::filesystem::path folder, const Disk& disk) : folder_(std::move(folder)), disk_(disk) {}

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path path_of(std::int64_t step) const;

  // Newest first, whole or not. Empty if there is no such folder.
  std::vector<Entry> list() const;
  // What the file `latest` says; nothing if it is not there or says nothing sensible. People and
  // scripts follow it; what is loaded is decided by what is whole.
  std::optional<std::string> latest() const;

  // The folder that a checkpoint is written into.
  std::filesystem::path attempt_of(std::int64_t step) const;
  // Makes it, on the disk. Whatever was in it is removed.
  std::filesystem::path begin(std::int64_t step) const;
  // Writes index and manifest, then makes the checkpoint visible, in this order, each on the disk
  // before the next. `manifest` has the files of all ranks; their folder entries need not be
  // synced.
  void commit(const std::filesystem::path& attempt, Manifest& manifest) const;

  // Gives an attempt up; what cannot be removed is left over.
  void discard(const std::filesystem::path& attempt) const noexcept;

  // The steps of all but the newest `keep` checkpoints and those of a step that `keep_every`
  // divides (0: none).
  std::vector<std::int64_t> prunable(std::int64_t keep, std::int64_t keep_every) const;
  // Removes these, and returns them.
  std::vector<std::int64_t> prune(std::int64_t keep, std::int64_t keep_every) const;

  // Removes what unfinished attempts and removals have left.
  void remove_leftovers() const;

  // Renames a checkpoint so that it is none any more: it is bad, or of a past that is left. Returns
  // its new name.
  std::filesystem::path set_aside(const Entry& entry) const;
  // Renames the whole folder so that another run can start there, and returns its new name. Nothing
  // if there are no checkpoints in it.
  std::optional<std::filesystem::path> set_all_aside() const;

 private:
  void remove(const std::filesystem::path& path) const;

  std::filesystem::path folder_;
  const Disk& disk_;
};

}  // namespace trireme::checkpoints
