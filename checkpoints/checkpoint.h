#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoints/disk.h"
#include "checkpoints/manifest.h"

namespace trireme::checkpoints {

// A checkpoint to read from. Everything that is read is checked against its digest first, without
// HDF5: nothing of a damaged file is ever parsed.
class Checkpoint {
 public:
  // Reads the manifest, and looks whether every file is there and as long as it says. Throws
  // CheckpointError{missing or corrupt}, naming the file.
  explicit Checkpoint(std::filesystem::path folder);

  const std::filesystem::path& folder() const { return folder_; }
  const Manifest& manifest() const { return manifest_; }

  // A block of a tensor, and where it is wanted: row-major, nothing between rows.
  struct Target {
    Region region;
    float* values = nullptr;
  };
  // Fills the targets, converted to fp32. Throws CheckpointError{corrupt}, naming tensor and file,
  // if a slice that holds some of it does not match its digest.
  void read(const StoredTensor& tensor, std::span<const Target> targets);

  // The bytes of one slice as they are stored, checked.
  std::span<const std::byte> slice_bytes(const StoredTensor& tensor, const StoredSlice& slice);

  // Checks every byte of a file that is part of no slice.
  void check_rest(int file);
  // Checks every byte of a file.
  void check_file(int file);

 private:
  const InputFile& input(int file);
  std::vector<std::pair<const StoredTensor*, const StoredSlice*>> slices_of(int file) const;

  std::filesystem::path folder_;
  Manifest manifest_;
  std::map<int, std::unique_ptr<InputFile>> inputs_;
  std::vector<std::byte> buffer_;
};

}  // namespace trireme::checkpoints
