#include "runtime/train/rank_state.h"

#include <algorithm>
#include <memory>
#include <string>

#include "checkpoints/error.h"
#include "kernels/check.h"

namespace trireme::runtime {
namespace {

using checkpoints::Region;
using checkpoints::TensorInfo;
using kernels::View;

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
        tensors_.push_back(std::make_unique<TensorInfo>(TensorInfo{
            .name = kind == Kind::weight         ? parameter.name
                    : kind == Kind::first_moment ? checkpoints::first_moment_of(parameter.name)
                                                 : checkpoints::second_moment_of(parameter.name),
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

void RankState::load(checkpoints::Checkpoint& from, bool with_optimizer) {
  for (const DataParallel::Share& share : data_parallel_.updated_shares()) {
    for (const Kind kind : kKinds) {
      if (kind == Kind::weight || with_optimizer) {
        load(from, share, kind);
      } else {
        backend_.run(compute_, kernels::Fill{.out = view_of(share, kind), .value = 0});
      }
    }
  }
  compute_.synchronize();
}

void RankState::load(checkpoints::Checkpoint& from, const DataParallel::Share& share, Kind kind) {
  const View view = view_of(share, kind);
  kernels::expects(view.dtype == kernels::Dtype::f32, "state in fp32");
  std::vector<float> values(static_cast<std::size_t>(share.count), 0.0f);
  for (const Piece& piece : pieces_of(share)) {
    const models::Parameter& parameter = piece.slot->parameter();
    const std::string name = kind == Kind::weight ? parameter.name
                             : kind == Kind::first_moment
                                 ? checkpoints::first_moment_of(parameter.name)
                                 : checkpoints::second_moment_of(parameter.name);
    const checkpoints::StoredTensor* tensor = from.manifest().find(name);
    if (!tensor || tensor->info.rows != parameter.rows ||
        tensor->info.columns != parameter.columns) {
      throw checkpoints::CheckpointError(
          checkpoints::Fault::corrupt,
          from.folder().string() + ": " + name +
              (tensor ? " has another shape than in this model" : " is not in it"));
    }
    std::vector<checkpoints::Checkpoint::Target> targets;
    for (const auto& [region, first] :
         regions_of(piece.slot->shard.slice, piece.in_slot, piece.count)) {
      targets.push_back(
          {.region = region, .values = values.data() + piece.in_share + first - piece.in_slot});
    }
    from.read(*tensor, targets);
  }
  backend_.upload(compute_, std::as_bytes(std::span(values)), view);
  compute_.synchronize();
}

}  // namespace trireme::runtime
