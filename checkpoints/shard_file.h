#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "checkpoints/disk.h"
#include "checkpoints/manifest.h"

namespace trireme::checkpoints {

// A block of a tensor in host memory, row-major; borrowed.
struct HostSlice {
  const TensorInfo* tensor = nullptr;
  Region region;
  const std::byte* values = nullptr;

  std::size_t bytes() const {
    return static_cast<std::size_t>(region.size()) * kernels::size_of(tensor->dtype);
  }
};

// No slice of a file is larger: what reads a part of one reads all of it, to check its digest.
inline constexpr std::int64_t kSliceBytes = std::int64_t{64} << 20;

// The values of slice number i, valid until the next call: for slices that are not in memory all at
// once.
using SliceSource = std::function<std::span<const std::byte>(std::size_t slice)>;

// Writes one rank's slices into one HDF5 file and syncs it. Digests are of what was in memory.
// Slices of one tensor are next to each other. Throws CheckpointError{io}.
ShardReport write_shard(const Disk& disk, const std::filesystem::path& path,
                        std::span<const HostSlice> slices);
ShardReport write_shard(const Disk& disk, const std::filesystem::path& path,
                        std::span<const HostSlice> slices, const SliceSource& source);

// The same for a file that is in memory already: index.h5.
StoredFile write_whole(const Disk& disk, const std::filesystem::path& path,
                       std::span<const std::byte> content);

}  // namespace trireme::checkpoints
