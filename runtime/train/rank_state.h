#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "checkpoints/shard_file.h"
#include "runtime/train/data_parallel.h"

namespace trireme::runtime {

// The part of a run's tensors that one rank writes into a checkpoint, and the part that it reads:
// weights at full precision and AdamW's moments, by global name and place. It follows from the
// declared sharding alone, so what one layout wrote any other can read.
class RankState {
 public:
  // All are borrowed.
  RankState(kernels::Backend& backend, kernels::Stream& compute, const ParameterBuffers& buffers,
            DataParallel& data_parallel);

  // Of host memory that a copy takes.
  std::size_t bytes() const { return bytes_; }

  // Copies what this rank saves to `host`, of bytes(), in the order of `compute`.
  void copy(std::span<std::byte> host);
  // What such a copy holds. Every element of a checkpoint is saved by one rank.
  std::vector<checkpoints::HostSlice> slices(std::span<const std::byte> host) const;

  // Reads what this rank needs, checked; moments are zero if not `with_optimizer`. Throws
  // CheckpointError{corrupt}, also for a tensor that is not there or has another shape. Collective
  // only in adopt().
  void load(const checkpoints::Checkpoint& from, bool with_optimizer);
  // After every rank has loaded: gathers the parameters. Collective.
  void adopt() { data_parallel_.adopt_master_weights(); }

 private:
  enum class Kind { weight, first_moment, second_moment };
  static constexpr Kind kKinds[] = {Kind::weight, Kind::first_moment, Kind::second_moment};

  // Elements of a parameter in a share.
  struct Piece {
    const ParameterBuffers::Slot* slot;
    std::int64_t in_slot, in_share, count;
  };

  static std::string name_of(const models::Parameter& parameter, Kind kind);
  static kernels::View view_of(const DataParallel::Share& share, Kind kind);
  std::vector<Piece> pieces_of(const DataParallel::Share& share) const;
  // A part of the state that is loaded at once, and what a thread needs for it.
  struct Load {
    const DataParallel::Share* share;
    Kind kind;
  };
  class Uploader;
  void load(checkpoints::Checkpoint& from, const Load& part, Uploader& uploader);

  kernels::Backend& backend_;
  kernels::Stream& compute_;
  const ParameterBuffers& buffers_;
  DataParallel& data_parallel_;
  std::vector<checkpoints::HostSlice> saved_;  // with offsets into a copy in place of addresses
  std::vector<std::size_t> offsets_;
  std::vector<std::unique_ptr<checkpoints::TensorInfo>> tensors_;
  std::size_t bytes_ = 0;
  std::mutex uploading_;
};

}  // namespace trireme::runtime
