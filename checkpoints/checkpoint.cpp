#include "checkpoints/checkpoint.h"

#include <algorithm>
#include <utility>

#include "checkpoints/error.h"
#include "checkpoints/float_conversion.h"

namespace trireme::checkpoints {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostManifestBytes = std::uint64_t{1} << 31;
constexpr std::size_t kReadBytes = std::size_t{4} << 20;  // hashed while still in the cache
constexpr std::size_t kOpenFiles = 64;

}  // namespace

Checkpoint::Checkpoint(fs::path folder) : folder_(std::move(folder)) {
  if (!fs::is_directory(folder_)) {
    throw CheckpointError(Fault::missing, folder_.string() + ": there is no such folder");
  }
  const fs::path path = folder_ / kManifest;
  if (!fs::exists(path)) {
    throw CheckpointError(Fault::corrupt,
                          folder_.string() + ": has no manifest.json, so it is no checkpoint");
  }
  manifest_ = parse_manifest(read_file(path, kMostManifestBytes), path.string());
  for (const StoredFile& file : manifest_.files) {
    std::error_code error;
    const fs::path at = folder_ / file.name;
    const auto size = fs::file_size(at, error);
    if (error) {
      throw CheckpointError(Fault::corrupt, at.string() + ": is missing: " + error.message());
    }
    if (size != file.bytes) {
      throw CheckpointError(Fault::corrupt, at.string() + ": has " + std::to_string(size) +
                                                " bytes, the manifest says " +
                                                std::to_string(file.bytes));
    }
  }
}

const InputFile& Checkpoint::input(int file) {
  if (inputs_.size() >= kOpenFiles) inputs_.clear();
  auto& input = inputs_[file];
  if (!input) {
    input =
        std::make_unique<InputFile>(folder_ / manifest_.files[static_cast<std::size_t>(file)].name);
  }
  return *input;
}

std::span<const std::byte> Checkpoint::slice_bytes(const StoredTensor& tensor,
                                                   const StoredSlice& slice) {
  const std::size_t bytes =
      static_cast<std::size_t>(slice.region.size()) * kernels::size_of(tensor.info.dtype);
  const InputFile& file = input(slice.file);
  if (buffer_.size() < bytes) buffer_.resize(bytes);
  Hasher hasher;
  for (std::size_t at = 0; at < bytes; at += kReadBytes) {
    const auto part = std::span(buffer_).subspan(at, std::min(kReadBytes, bytes - at));
    file.read(slice.offset + at, part);
    hasher.add(part);
  }
  const Digest found = hasher.digest();
  if (found != slice.digest) {
    throw CheckpointError(Fault::corrupt,
                          file.path().string() + ": " + dataset_path(tensor.info, slice.region) +
                              " at byte " + std::to_string(slice.offset) + " has digest " +
                              found.hex() + ", the manifest says " + slice.digest.hex());
  }
  return std::span(buffer_).first(bytes);
}

void Checkpoint::read(const StoredTensor& tensor, std::span<const Target> targets) {
  const std::size_t element = kernels::size_of(tensor.info.dtype);
  for (const StoredSlice& slice : tensor.slices) {
    std::span<const std::byte> bytes;
    for (const Target& target : targets) {
      const Region common = overlap(slice.region, target.region);
      if (common.size() == 0) continue;
      if (bytes.empty()) bytes = slice_bytes(tensor, slice);
      for (std::int64_t row = common.first_row; row < common.end_row(); ++row) {
        const std::int64_t from = (row - slice.region.first_row) * slice.region.columns +
                                  common.first_column - slice.region.first_column;
        const std::int64_t to = (row - target.region.first_row) * target.region.columns +
                                common.first_column - target.region.first_column;
        to_floats(tensor.info.dtype, bytes.data() + static_cast<std::size_t>(from) * element,
                  common.columns, target.values + to);
      }
    }
  }
}

std::vector<std::pair<const StoredTensor*, const StoredSlice*>> Checkpoint::slices_of(
    int file) const {
  std::vector<std::pair<const StoredTensor*, const StoredSlice*>> slices;
  for (const StoredTensor& tensor : manifest_.tensors) {
    for (const StoredSlice& slice : tensor.slices) {
      if (slice.file == file) slices.emplace_back(&tensor, &slice);
    }
  }
  std::ranges::sort(slices, {}, [](const auto& entry) { return entry.second->offset; });
  return slices;
}

void Checkpoint::check_rest(int file) {
  const StoredFile& stored = manifest_.files[static_cast<std::size_t>(file)];
  const InputFile& from = input(file);
  Hasher hasher;
  std::uint64_t at = 0;
  std::vector<std::byte> part;
  const auto add_until = [&](std::uint64_t end) {
    while (at < end) {
      part.resize(std::min<std::uint64_t>(kReadBytes, end - at));
      from.read(at, part);
      hasher.add(part);
      at += part.size();
    }
  };
  for (const auto& [tensor, slice] : slices_of(file)) {
    add_until(slice->offset);
    at = slice->offset +
         static_cast<std::uint64_t>(slice->region.size()) * kernels::size_of(tensor->info.dtype);
  }
  add_until(stored.bytes);
  if (hasher.digest() != stored.rest) {
    throw CheckpointError(Fault::corrupt,
                          from.path().string() + ": bytes outside of tensors have digest " +
                              hasher.digest().hex() + ", the manifest says " + stored.rest.hex());
  }
}

void Checkpoint::check_file(int file) {
  check_rest(file);
  for (const auto& [tensor, slice] : slices_of(file)) slice_bytes(*tensor, *slice);
}

}  // namespace trireme::checkpoints
