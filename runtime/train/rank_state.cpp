#include "runtime/train/rank_state.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <thread>

#include "checkpoints/error.h"
#include "kernels/check.h"

namespace trireme::runtime {
namespace {

using checkpoints::Region;
using checkpoints::TensorInfo;
using kernels::View;

// Threads that read: one waits for the disk while another converts.
constexpr std::size_t kReaders = 4;

struct FlatRegion {
  Region region;
  std::int64_t first;  // element of the slice
};

// Elements [first, first + count) of a slice, row-major, as blocks: a part of a row, whole rows, a
// part of a row.
std::vector<FlatRegion> regions_of(const models::Slice& slice, std::int64_t first,
                                   std::int64_t count) {
  std::vector<FlatRegion> regions;
  const std::int64_t end = first + count;
  while (first < end) {
    const std::int64_t row = first / slice.columns, column = first % slice.columns;
    const bool whole_rows = column == 0 && end - first >= slice.columns;
    const std::int64_t rows = whole_rows ? (end - first) / slice.columns : 1;
    const std::int64_t columns =
        whole_rows ? slice.columns : std::min(slice.columns - column, end - first);
    regions.push_back({.region = {.first_row = slice.first_row + row,
                                  .rows = rows,
                                  .first_column = slice.first_column + column,
                                  .columns = columns},
                       .first = first});
    first += rows * columns;
  }
  return regions;
}

}  // namespace

// Collects values that follow each other, so that the device is given large pieces.
class RankState::Uploader {
 public:
  Uploader(kernels::Backend& backend, kernels::Stream& stream, std::mutex& uploading)
      : backend_(backend), stream_(stream), uploading_(uploading) {}

  // Elements of `view` from number `first` on.
  void add(View view, std::int64_t first, std::span<const float> values) {
    const bool follows = view.data == view_.data && first == first_ + count_;
    const auto more = static_cast<std::int64_t>(values.size());
    if (!follows || count_ + more > kMost) flush();
    if (count_ == 0 && more >= kLarge) return upload(view.column_range(first, more), values);
    if (count_ == 0) {
      view_ = view;
      first_ = first;
    }
    if (values_.size() == 0) values_ = checkpoints::AlignedBuffer(kMost * sizeof(float));
    std::ranges::copy(values, floats() + count_);
    count_ += more;
  }

  void flush() {
    if (count_ == 0) return;
    upload(view_.column_range(first_, count_), {floats(), static_cast<std::size_t>(count_)});
    count_ = 0;
  }

 private:
  static constexpr std::int64_t kMost = std::int64_t{1} << 18;
  static constexpr std::int64_t kLarge = std::int64_t{1} << 16;  // worth a copy of its own

  void upload(View to, std::span<const float> values) {
    const std::lock_guard lock(uploading_);
    backend_.upload(stream_, std::as_bytes(values), to);
    stream_.synchronize();
  }

  float* floats() const { return reinterpret_cast<float*>(values_.data()); }

  kernels::Backend& backend_;
  kernels::Stream& stream_;
  std::mutex& uploading_;
  View view_;
  std::int64_t first_ = 0, count_ = 0;
  checkpoints::AlignedBuffer values_;  // the system has it back when loading ends
};

std::string RankState::name_of(const models::Parameter& parameter, Kind kind) {
  switch (kind) {
    case Kind::first_moment: return checkpoints::first_moment_of(parameter.name);
    case Kind::second_moment: return checkpoints::second_moment_of(parameter.name);
    case Kind::weight: break;
  }
  return parameter.name;
}

RankState::RankState(kernels::Backend& backend, kernels::Stream& compute,
                     const ParameterBuffers& buffers, DataParallel& data_parallel)
    : backend_(backend), compute_(compute), buffers_(buffers), data_parallel_(data_parallel) {
  const auto shares = data_parallel.saved_shares();
  for (const Kind kind : kKinds) {
    for (const DataParallel::Share& share : shares) {
      const View view = view_of(share, kind);
      for (const Piece& piece : pieces_of(share)) {
        if (!piece.slot->shard.is_counted) continue;
        const models::Parameter& parameter = piece.slot->parameter();
        tensors_.push_back(
            std::make_unique<TensorInfo>(TensorInfo{.name = name_of(parameter, kind),
                                                    .dimensions = parameter.dimensions,
                                                    .rows = parameter.rows,
                                                    .columns = parameter.columns,
                                                    .dtype = view.dtype}));
        for (const auto& [region, first] :
             regions_of(piece.slot->shard.slice, piece.in_slot, piece.count)) {
          const auto element = static_cast<std::size_t>(piece.in_share + first - piece.in_slot);
          saved_.push_back({.tensor = tensors_.back().get(), .region = region});
          offsets_.push_back(bytes_ + element * kernels::size_of(view.dtype));
        }
      }
      bytes_ += view.bytes();
    }
  }
}

View RankState::view_of(const DataParallel::Share& share, Kind kind) {
  switch (kind) {
    case Kind::first_moment: return share.first_moment;
    case Kind::second_moment: return share.second_moment;
    case Kind::weight: break;
  }
  return share.master;
}

std::vector<RankState::Piece> RankState::pieces_of(const DataParallel::Share& share) const {
  std::vector<Piece> pieces;
  for (const auto& slot : buffers_.slots()) {
    if (slot.bucket != share.bucket) continue;
    const std::int64_t first = std::max(slot.first, share.first);
    const std::int64_t last = std::min(slot.first + slot.size(), share.first + share.count);
    if (first >= last) continue;
    pieces.push_back({.slot = &slot,
                      .in_slot = first - slot.first,
                      .in_share = first - share.first,
                      .count = last - first});
  }
  return pieces;
}

void RankState::copy(std::span<std::byte> host) {
  kernels::expects(host.size() == bytes_, "room for all that this rank saves");
  for (const Kind kind : kKinds) {
    for (const DataParallel::Share& share : data_parallel_.saved_shares()) {
      const View view = view_of(share, kind);
      backend_.download(compute_, view, host.first(view.bytes()));
      host = host.subspan(view.bytes());
    }
  }
}

std::vector<checkpoints::HostSlice> RankState::slices(std::span<const std::byte> host) const {
  std::vector<checkpoints::HostSlice> slices = saved_;
  for (std::size_t i = 0; i < slices.size(); ++i) slices[i].values = host.data() + offsets_[i];
  return slices;
}

void RankState::load(const checkpoints::Checkpoint& from, bool with_optimizer) {
  const auto shares = data_parallel_.updated_shares();
  std::vector<Load> parts;
  for (const DataParallel::Share& share : shares) {
    for (const Kind kind : kKinds) {
      if (kind == Kind::weight || with_optimizer) {
        parts.push_back({&share, kind});
      } else {
        backend_.run(compute_, kernels::Fill{.out = view_of(share, kind), .value = 0});
      }
    }
  }
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    checkpoints::Checkpoint reader(from);
    Uploader uploader(backend_, compute_, uploading_);
    try {
      for (std::size_t i = next++; i < parts.size(); i = next++) load(reader, parts[i], uploader);
    } catch (...) {
      next = parts.size();
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < std::min(kReaders, parts.size()); ++t) threads.emplace_back(work);
  }
  if (failure) std::rethrow_exception(failure);
  compute_.synchronize();
}

void RankState::load(checkpoints::Checkpoint& from, const Load& part, Uploader& uploader) {
  const auto [share, kind] = part;
  const View view = view_of(*share, kind);
  kernels::expects(view.dtype == kernels::Dtype::f32, "state in fp32");
  std::int64_t end = 0;
  for (const Piece& piece : pieces_of(*share)) {
    const models::Parameter& parameter = piece.slot->parameter();
    const std::string name = name_of(parameter, kind);
    const checkpoints::StoredTensor* tensor = from.manifest().find(name);
    if (!tensor || tensor->info.rows != parameter.rows ||
        tensor->info.columns != parameter.columns) {
      throw checkpoints::CheckpointError(
          checkpoints::Fault::corrupt,
          from.folder().string() + ": " + name +
              (tensor ? " has another shape than in this model" : " is not in it"));
    }
    std::vector<Region> blocks;
    std::vector<std::int64_t> places;  // in the share
    for (const auto& [region, first] :
         regions_of(piece.slot->shard.slice, piece.in_slot, piece.count)) {
      blocks.push_back(region);
      places.push_back(piece.in_share + first - piece.in_slot);
    }
    from.read(*tensor, blocks,
              [&](std::size_t block, std::int64_t first, std::span<const float> values) {
                uploader.add(view, places[block] + first, values);
              });
    uploader.flush();
    end = piece.in_share + piece.count;
  }
  // What follows the last parameter is padding.
  const std::lock_guard lock(uploading_);
  backend_.run(compute_,
               kernels::Fill{.out = view.column_range(end, share->count - end), .value = 0});
}

}  // namespace trireme::runtime
