#include "checkpoints/shard_file.h"

#include <algorithm>
#include <vector>

#include "checkpoints/hdf5_image.h"

namespace trireme::checkpoints {
namespace {

constexpr std::size_t kWriteBytes = std::size_t{512} << 10;  // hashed while still in the cache

// A part of a slice that becomes a dataset.
struct Piece {
  const TensorInfo* tensor;
  Region region;
  std::size_t slice;
  std::size_t first_byte;  // of the slice

  std::size_t bytes() const {
    return static_cast<std::size_t>(region.size()) * kernels::size_of(tensor->dtype);
  }
};

// Blocks of whole rows, none above kSliceBytes unless a row is.
void add_pieces(std::vector<Piece>& pieces, const HostSlice& slice, std::size_t number) {
  const std::size_t row_bytes =
      static_cast<std::size_t>(slice.region.columns) * kernels::size_of(slice.tensor->dtype);
  const std::int64_t most = std::max<std::int64_t>(
      1, kSliceBytes / static_cast<std::int64_t>(std::max<std::size_t>(1, row_bytes)));
  for (std::int64_t row = 0; row < slice.region.rows; row += most) {
    Piece piece{.tensor = slice.tensor,
                .region = slice.region,
                .slice = number,
                .first_byte = static_cast<std::size_t>(row) * row_bytes};
    piece.region.first_row += row;
    piece.region.rows = std::min(most, slice.region.rows - row);
    pieces.push_back(piece);
  }
}

Digest write_values(Disk::File& file, std::span<const std::byte> values) {
  Hasher hasher;
  while (!values.empty()) {
    const auto part = values.first(std::min(values.size(), kWriteBytes));
    hasher.add(part);
    file.write(part);
    values = values.subspan(part.size());
  }
  return hasher.digest();
}

}  // namespace

ShardReport write_shard(const Disk& disk, const std::filesystem::path& path,
                        std::span<const HostSlice> slices) {
  return write_shard(disk, path, slices, [&](std::size_t slice) {
    return std::span(slices[slice].values, slices[slice].bytes());
  });
}

ShardReport write_shard(const Disk& disk, const std::filesystem::path& path,
                        std::span<const HostSlice> slices, const SliceSource& source) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < slices.size(); ++i) add_pieces(pieces, slices[i], i);
  std::vector<ShardDataset> datasets;
  for (const Piece& piece : pieces) {
    datasets.push_back({.path = dataset_path(*piece.tensor, piece.region),
                        .tensor = piece.tensor,
                        .region = piece.region});
  }
  const Hdf5Image image = shard_image(datasets);
  std::vector<Digest> digests(pieces.size());
  Hasher rest;
  Disk::File file(disk, path);
  file.reserve(image.bytes);
  std::span<const std::byte> values;
  std::size_t of_slice = slices.size();  // whose values these are
  for (const Hdf5Image::Piece& piece : image.pieces) {
    if (piece.dataset < 0) {
      rest.add(piece.content);
      file.write(piece.content);
    } else {
      const auto i = static_cast<std::size_t>(piece.dataset);
      if (of_slice != pieces[i].slice) values = source(pieces[i].slice);
      of_slice = pieces[i].slice;
      digests[i] = write_values(file, values.subspan(pieces[i].first_byte, pieces[i].bytes()));
    }
  }
  file.finish();
  ShardReport report{
      .file = {.name = path.filename().string(), .bytes = image.bytes, .rest = rest.digest()},
      .tensors = {}};
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const TensorInfo& tensor = *pieces[i].tensor;
    if (report.tensors.empty() || report.tensors.back().info.name != tensor.name) {
      report.tensors.push_back({.info = tensor, .slices = {}});
    }
    report.tensors.back().slices.push_back(
        {.region = pieces[i].region, .offset = image.offsets[i], .digest = digests[i]});
  }
  return report;
}

StoredFile write_whole(const Disk& disk, const std::filesystem::path& path,
                       std::span<const std::byte> content) {
  Disk::File file(disk, path);
  file.reserve(content.size());
  StoredFile stored{.name = path.filename().string(), .bytes = content.size(), .rest = {}};
  stored.rest = write_values(file, content);
  file.finish();
  return stored;
}

}  // namespace trireme::checkpoints
