#include "checkpoints/store.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <system_error>

#include "checkpoints/error.h"
#include "checkpoints/hdf5_image.h"
#include "checkpoints/shard_file.h"

namespace trireme::checkpoints {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "step-";
constexpr const char* kAttempt = ".tmp-write";
constexpr const char* kTrash = ".trash-";

std::string name_of(std::int64_t step) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%08lld", static_cast<long long>(step));
  return std::string(kPrefix) + digits;
}

// Nothing unless `name` is exactly what a checkpoint is called.
std::optional<std::int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::int64_t step = 0;
  const char* first = name.data() + std::string(kPrefix).size();
  const char* last = name.data() + name.size();
  const auto [end, error] = std::from_chars(first, last, step);
  if (error != std::errc() || end != last || step < 0 || name_of(step) != name) return std::nullopt;
  return step;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  const bool is_none =
      error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory;
  if (error && !is_none) {
    throw CheckpointError(Fault::io, folder.string() + ": cannot be read: " + error.message());
  }
  return names;
}

std::vector<VirtualTensor> virtual_tensors(const Manifest& manifest) {
  std::vector<VirtualTensor> tensors;
  for (const StoredTensor& tensor : manifest.tensors) {
    auto& entry = tensors.emplace_back();
    entry.tensor = &tensor.info;
    for (const StoredSlice& slice : tensor.slices) {
      entry.sources.push_back({.file = manifest.files[static_cast<std::size_t>(slice.file)].name,
                               .path = dataset_path(tensor.info, slice.region),
                               .region = slice.region});
    }
  }
  return tensors;
}

}  // namespace

fs::path Store::path_of(std::int64_t step) const { return folder_ / name_of(step); }

std::vector<Store::Entry> Store::list() const {
  std::vector<Entry> entries;
  for (const std::string& name : names_in(folder_)) {
    if (const auto step = step_of(name)) entries.push_back({*step, folder_ / name});
  }
  std::ranges::sort(entries, std::greater(), &Entry::step);
  return entries;
}

std::optional<std::string> Store::latest() const {
  try {
    std::string text = read_file(folder_ / "latest", 256);
    if (text.empty() || text.back() != '\n') return std::nullopt;
    text.pop_back();
    return step_of(text) ? std::optional(text) : std::nullopt;
  } catch (const CheckpointError&) {
    return std::nullopt;
  }
}

fs::path Store::attempt_of(std::int64_t step) const { return folder_ / (name_of(step) + kAttempt); }

fs::path Store::begin(std::int64_t step) const {
  const fs::path attempt = attempt_of(step);
  disk_.make_folder(folder_);
  disk_.remove_all(attempt);
  disk_.make_folder(attempt);
  disk_.sync_folder(folder_);
  return attempt;
}

void Store::commit(const fs::path& attempt, Manifest& manifest) const {
  check_coverage(manifest, attempt.string());
  manifest.files.push_back(
      write_whole(disk_, attempt / kIndex, index_image(virtual_tensors(manifest))));
  disk_.sync_folder(attempt);
  disk_.write_file(attempt / kManifest, manifest_text(manifest));
  disk_.sync_folder(attempt);
  const fs::path path = path_of(manifest.state.progress.step);
  // One of the same step is there when a run went on from an older one because this was not good.
  const bool replaces = fs::exists(path);
  replaces ? disk_.exchange(attempt, path) : disk_.rename(attempt, path);
  disk_.sync_folder(folder_);
  if (replaces) remove(attempt);
  disk_.replace_file(folder_ / "latest", path.filename().string() + "\n");
}

std::vector<std::int64_t> Store::prunable(std::int64_t keep, std::int64_t keep_every) const {
  std::vector<std::int64_t> steps;
  std::int64_t newer = 0;
  for (const Entry& entry : list()) {
    const bool kept_for_ever = keep_every > 0 && entry.step % keep_every == 0;
    if (newer++ >= keep && !kept_for_ever) steps.push_back(entry.step);
  }
  return steps;
}

std::vector<std::int64_t> Store::prune(std::int64_t keep, std::int64_t keep_every) const {
  const std::vector<std::int64_t> steps = prunable(keep, keep_every);
  for (const std::int64_t step : steps) remove(path_of(step));
  return steps;
}

void Store::discard(const fs::path& attempt) const noexcept {
  std::error_code ignored;
  fs::remove_all(attempt, ignored);
}

// Under another name first, so that half of it is never taken for a checkpoint.
void Store::remove(const fs::path& path) const {
  const fs::path trash = folder_ / (kTrash + path.filename().string());
  disk_.remove_all(trash);
  disk_.rename(path, trash);
  disk_.remove_all(trash);
}

void Store::remove_leftovers() const {
  for (const std::string& name : names_in(folder_)) {
    const bool attempt = name.starts_with(kPrefix) && name.find(kAttempt) != std::string::npos;
    if (attempt || name.starts_with(kTrash) || name == "latest.next") {
      disk_.remove_all(folder_ / name);
    }
  }
}

fs::path Store::set_aside(const Entry& entry) const {
  for (int number = 1;; ++number) {
    const fs::path aside = entry.path.string() + ".aside-" + std::to_string(number);
    if (fs::exists(aside)) continue;
    disk_.rename(entry.path, aside);
    disk_.sync_folder(folder_);
    return aside;
  }
}

std::optional<fs::path> Store::set_all_aside() const {
  if (list().empty()) return std::nullopt;
  for (int number = 1;; ++number) {
    const fs::path aside = folder_.string() + ".old-" + std::to_string(number);
    if (fs::exists(aside)) continue;
    disk_.rename(folder_, aside);
    disk_.sync_folder(folder_.parent_path());
    return aside;
  }
}

}  // namespace trireme::checkpoints
