#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/tensor.h"

namespace trireme::checkpoints {

// A dataset of a shard file: a block of a tensor.
struct ShardDataset {
  std::string path;
  const TensorInfo* tensor = nullptr;
  Region region;
};

// An HDF5 file but for the values of its datasets: what to write, in which order.
struct Hdf5Image {
  struct Piece {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    int dataset = -1;  // whose values these are; or -1: `content`
    std::vector<std::byte> content = {};
  };
  std::vector<Piece> pieces;           // from the first byte of the file to the last, no holes
  std::vector<std::uint64_t> offsets;  // of each dataset's values
  std::uint64_t bytes = 0;
};

// HDF5 never sees the disk: the file is laid out in memory (superblock version 3, whose metadata
// carry checksums), and whoever writes it knows of every failure. Values lie contiguous, so that a
// reader needs an offset and no library. bf16 is HDF5's 16-bit float with 8 exponent bits. Throws
// CheckpointError{io} if HDF5 fails.
Hdf5Image shard_image(const std::vector<ShardDataset>& datasets);

// Where a block of a tensor lies in other files.
struct VirtualSource {
  std::string file;
  std::string path;
  Region region;
};

struct VirtualTensor {
  const TensorInfo* tensor = nullptr;
  std::vector<VirtualSource> sources;
};

// A file in which every tensor is one whole virtual dataset over the blocks in other files next to
// it, for h5py and h5ls. What is missing reads as NaN.
std::vector<std::byte> index_image(const std::vector<VirtualTensor>& tensors);

}  // namespace trireme::checkpoints
