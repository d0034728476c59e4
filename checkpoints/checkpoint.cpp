#include "checkpoints/checkpoint.h"

#include <algorithm>
#include <utility>

#include "checkpoints/error.h"
#include "checkpoints/float_conversion.h"

namespace trireme::checkpoints {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostManifestBytes = std::uint64_t{1} << 31;
constexpr std::size_t kReadBytes = std::size_t{1} << 20;  // hashed while still in the cache
constexpr std::size_t kOpenFiles = 64;

// Elements [first, first + count) of a slice, row-major, that a block has in one piece, and which
// of the block's that is.
struct Run {
  std::int64_t first, count, in_block;
};

// The runs of `block` among elements [begin, end) of `slice`. Rows that follow each other without
// a gap in both are one run.
template <class Use>
void for_each_run(const Region& slice, const Region& block, std::int64_t begin, std::int64_t end,
                  const Use& use) {
  const Region common = overlap(slice, block);
  if (common.size() == 0) return;
  const std::int64_t width = slice.columns;
  const std::int64_t first_row = std::max(common.first_row - slice.first_row, begin / width);
  const std::int64_t end_row =
      std::min(common.end_row() - slice.first_row, (end + width - 1) / width);
  Run run{.first = 0, .count = 0, .in_block = 0};
  for (std::int64_t row = first_row; row < end_row; ++row) {
    const std::int64_t start = row * width + common.first_column - slice.first_column;
    const std::int64_t from = std::max(begin, start), to = std::min(end, start + common.columns);
    if (from >= to) continue;
    const std::int64_t in_block = (slice.first_row + row - block.first_row) * block.columns +
                                  common.first_column - block.first_column + from - start;
    const bool goes_on =
        run.count > 0 && run.first + run.count == from && run.in_block + run.count == in_block;
    if (goes_on) {
      run.count += to - from;
      continue;
    }
    if (run.count > 0) use(run);
    run = {.first = from, .count = to - from, .in_block = in_block};
  }
  if (run.count > 0) use(run);
}

}  // namespace

Checkpoint::Checkpoint(fs::path folder) : folder_(std::move(folder)) {
  std::error_code error;
  const auto throw_if_unreadable = [&](const fs::path& path) {
    if (!error || error == std::errc::no_such_file_or_directory) return;
    throw CheckpointError(Fault::io, path.string() + ": cannot be read: " + error.message());
  };
  if (!fs::is_directory(folder_, error)) {
    throw_if_unreadable(folder_);
    throw CheckpointError(Fault::missing, folder_.string() + ": there is no such folder");
  }
  const fs::path path = folder_ / kManifest;
  if (!fs::exists(path, error)) {
    throw_if_unreadable(path);
    throw CheckpointError(Fault::corrupt,
                          folder_.string() + ": has no manifest.json, so it is no checkpoint");
  }
  manifest_ = std::make_shared<const Manifest>(
      parse_manifest(read_file(path, kMostManifestBytes), path.string()));
  for (const StoredFile& file : manifest_->files) {
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
    input = std::make_unique<InputFile>(folder_ /
                                        manifest_->files[static_cast<std::size_t>(file)].name);
  }
  return *input;
}

void Checkpoint::stream(const StoredTensor& tensor, const StoredSlice& slice, const Use& use) {
  const std::size_t element = kernels::size_of(tensor.info.dtype);
  const std::size_t bytes = static_cast<std::size_t>(slice.region.size()) * element;
  const InputFile& file = input(slice.file);
  if (buffer_.size() == 0) buffer_ = AlignedBuffer(kReadBytes);
  Hasher hasher;
  for (std::size_t at = 0; at < bytes; at += kReadBytes) {
    const auto part = std::span(buffer_.data(), std::min(kReadBytes, bytes - at));
    file.read(slice.offset + at, part);
    hasher.add(part);
    use(static_cast<std::int64_t>(at / element), part);
  }
  const Digest found = hasher.digest();
  if (found == slice.digest) return;
  throw CheckpointError(Fault::corrupt,
                        file.path().string() + ": " + dataset_path(tensor.info, slice.region) +
                            " at byte " + std::to_string(slice.offset) + " has digest " +
                            found.hex() + ", the manifest says " + slice.digest.hex());
}

std::span<const float> Checkpoint::floats_of(kernels::Dtype dtype,
                                             std::span<const std::byte> stored) {
  const std::size_t count = stored.size() / kernels::size_of(dtype);
  // The buffer is aligned for any type, and elements are at multiples of their size.
  if (dtype == kernels::Dtype::f32) {
    return {reinterpret_cast<const float*>(stored.data()), count};
  }
  converted_.resize(kReadBytes / kernels::size_of(dtype));
  to_floats(dtype, stored.data(), static_cast<std::int64_t>(count), converted_.data());
  return std::span(converted_).first(count);
}

void Checkpoint::read(const StoredTensor& tensor, std::span<const Region> blocks,
                      const Sink& sink) {
  const std::size_t element = kernels::size_of(tensor.info.dtype);
  for (const StoredSlice& slice : tensor.slices) {
    const bool wanted = std::ranges::any_of(
        blocks, [&](const Region& block) { return overlap(slice.region, block).size() > 0; });
    if (!wanted) continue;
    stream(tensor, slice, [&](std::int64_t first, std::span<const std::byte> bytes) {
      const std::int64_t end = first + static_cast<std::int64_t>(bytes.size() / element);
      for (std::size_t b = 0; b < blocks.size(); ++b) {
        for_each_run(slice.region, blocks[b], first, end, [&](const Run& run) {
          sink(b, run.in_block,
               floats_of(tensor.info.dtype,
                         bytes.subspan(static_cast<std::size_t>(run.first - first) * element,
                                       static_cast<std::size_t>(run.count) * element)));
        });
      }
    });
  }
}

void Checkpoint::read(const StoredTensor& tensor, const Region& block, std::span<float> values) {
  read(tensor, {&block, 1}, [&](std::size_t, std::int64_t first, std::span<const float> part) {
    std::ranges::copy(part, values.begin() + first);
  });
}

std::vector<std::pair<const StoredTensor*, const StoredSlice*>> Checkpoint::slices_of(
    int file) const {
  std::vector<std::pair<const StoredTensor*, const StoredSlice*>> slices;
  for (const StoredTensor& tensor : manifest_->tensors) {
    for (const StoredSlice& slice : tensor.slices) {
      if (slice.file == file) slices.emplace_back(&tensor, &slice);
    }
  }
  std::ranges::sort(slices, {}, [](const auto& entry) { return entry.second->offset; });
  return slices;
}

void Checkpoint::check_rest(int file) {
  const StoredFile& stored = manifest_->files[static_cast<std::size_t>(file)];
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
  for (const auto& [tensor, slice] : slices_of(file)) {
    stream(*tensor, *slice, [](std::int64_t, std::span<const std::byte>) {});
  }
}

}  // namespace trireme::checkpoints
