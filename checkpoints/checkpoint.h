#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoints/aligned_buffer.h"
#include "checkpoints/disk.h"
#include "checkpoints/manifest.h"

namespace trireme::checkpoints {

// A checkpoint to read from. Everything that is read is checked against its digest, without HDF5:
// nothing of a damaged file is ever parsed, and whoever got values of one is told.
class Checkpoint {
 public:
  // A copy is another reader of the same checkpoint, for another thread.
  Checkpoint(const Checkpoint& other) : folder_(other.folder_), manifest_(other.manifest_) {}
  Checkpoint& operator=(const Checkpoint&) = delete;

  // Reads the manifest, and looks whether every file is there and as long as it says. Throws
  // CheckpointError{missing or corrupt}, naming the file.
  explicit Checkpoint(std::filesystem::path folder);

  const std::filesystem::path& folder() const { return folder_; }
  const Manifest& manifest() const { return *manifest_; }

  // Where the values of a block go: elements from number `first` of the block, row-major, on. Every
  // element is given once, in pieces of any size; what was given before a throw is worth nothing.
  using Sink = std::function<void(std::size_t block, std::int64_t first, std::span<const float>)>;
  // Reads blocks of a tensor, converted to fp32. Throws CheckpointError{corrupt}, naming tensor and
  // file, if a slice that holds some of them does not match its digest.
  void read(const StoredTensor& tensor, std::span<const Region> blocks, const Sink& sink);
  // One block, into `values`.
  void read(const StoredTensor& tensor, const Region& block, std::span<float> values);

  // Checks every byte of a file that is part of no slice.
  void check_rest(int file);
  // Checks every byte of a file.
  void check_file(int file);

 private:
  // Gives a slice's bytes to `use` piece by piece, each with the number of its first element, and
  // then throws if they were not what they should be.
  using Use = std::function<void(std::int64_t first, std::span<const std::byte> bytes)>;
  void stream(const StoredTensor& tensor, const StoredSlice& slice, const Use& use);
  std::span<const float> floats_of(kernels::Dtype dtype, std::span<const std::byte> stored);
  const InputFile& input(int file);
  std::vector<std::pair<const StoredTensor*, const StoredSlice*>> slices_of(int file) const;

  std::filesystem::path folder_;
  std::shared_ptr<const Manifest> manifest_;
  std::map<int, std::unique_ptr<InputFile>> inputs_;
  AlignedBuffer buffer_;
  std::vector<float> converted_;
};

}  // namespace trireme::checkpoints
