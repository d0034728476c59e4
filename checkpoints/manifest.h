#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoints/digest.h"
#include "checkpoints/run_state.h"
#include "checkpoints/tensor.h"

namespace trireme::checkpoints {

inline constexpr const char* kManifest = "manifest.json";
inline constexpr const char* kIndex = "index.h5";

// A block of a tensor in one of the files: a contiguous dataset, row-major.
struct StoredSlice {
  Region region;
  int file = 0;              // of Manifest::files
  std::uint64_t offset = 0;  // of its first byte
  Digest digest;             // of its bytes
};

struct StoredTensor {
  TensorInfo info;
  std::vector<StoredSlice> slices;
};

struct StoredFile {
  std::string name;
  std::uint64_t bytes = 0;
  Digest rest;  // of every byte that belongs to no slice, in order
};

// What a checkpoint contains and how it is split: the one file that says whether the others are
// what they have to be. It ends with a digest of itself.
struct Manifest {
  std::string program;  // that wrote it, and its version
  std::string written;  // when: UTC, "2026-01-31T12:00:00Z"
  std::string config;   // resolved, as TOML
  RunState state;
  std::vector<StoredFile> files;
  std::vector<StoredTensor> tensors;

  // Nothing if there is no tensor of this name.
  const StoredTensor* find(std::string_view name) const;
  std::uint64_t bytes() const;  // of all files but the manifest
};

// Now, as manifests say it.
std::string utc_now();

// The name of a slice's dataset: the tensor's, and where the block begins.
std::string dataset_path(const TensorInfo& tensor, const Region& region);

// What is written, and back. Reading throws CheckpointError{corrupt}, naming `where` and what is
// wrong: the digest, a name that leads out of the folder, blocks that overlap or leave holes, bytes
// that are not in their file.
std::string manifest_text(const Manifest& manifest);
Manifest parse_manifest(std::string_view text, const std::string& where);

// One rank's part of a manifest, while a checkpoint is being written: its file, and the slices in
// it. Ranks send it as text.
struct ShardReport {
  StoredFile file;
  std::vector<StoredTensor> tensors;
};
std::string report_text(const ShardReport& report);
ShardReport parse_report(std::string_view text);

// Files and tensors of all ranks. Parameters come first, then moments; layers in their order.
void merge_reports(Manifest& manifest, const std::vector<ShardReport>& reports);

// CheckpointError{corrupt} unless the blocks of every tensor cover it exactly once.
void check_coverage(const Manifest& manifest, const std::string& where);

}  // namespace trireme::checkpoints
