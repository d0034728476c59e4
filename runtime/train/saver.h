#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "checkpoints/store.h"
#include "runtime/comm/communicator.h"
#include "runtime/train/rank_state.h"

namespace trireme::runtime {

struct SaverOptions {
  bool asynchronous = true;  // otherwise save() returns when the checkpoint is on the disk
  std::int64_t keep = 3;
  std::int64_t keep_every = 0;  // steps; see Store::prune
  std::string program = {};     // for the manifest
  std::string config = {};
};

// A checkpoint that is on the disk, as rank 0 tells about it.
struct SavedCheckpoint {
  std::int64_t step = 0;
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  double seconds = 0;                 // from the copy to the commit
  double stall_seconds = 0;           // that training stood still
  std::vector<std::int64_t> removed;  // steps of older ones
};

// Writes checkpoints of a run, all ranks together, while training goes on: training waits for a
// copy to host memory only. There are two buffers, so one checkpoint may be written while the next
// one waits with its copy; a third save waits. What fails on one rank fails on all, after the same
// save: nothing becomes visible, no more is written, and the cause is kept for whoever asks.
class Saver {
 public:
  // How ranks tell each other what they wrote: a group of all of them that is used for nothing
  // else, for streams of `backend`, which is borrowed. On a GPU, waiting for a disk would take a
  // part of it for minutes: then it is the host.
  struct Peers {
    kernels::Backend& backend;
    std::unique_ptr<Communicator> group;
  };
  // `saved` and `failed` are called from the background: the first on rank 0 for every checkpoint,
  // the second on every rank, once.
  struct Observer {
    std::function<void(const SavedCheckpoint&)> saved;
    std::function<void()> failed;
  };
  // `backend` is that of the state. All but the group is borrowed.
  Saver(kernels::Backend& backend, kernels::Stream& compute, Peers peers, RankState& state,
        const checkpoints::Store& store, const checkpoints::Disk& disk, SaverOptions options,
        Observer observer);
  Saver(const Saver&) = delete;
  Saver& operator=(const Saver&) = delete;
  // Waits for what is under way.
  ~Saver();

  // Everything enqueued on `compute` is part of it. Collective; every rank gives the same. Throws
  // CommunicationError if a rank did not do its part of an earlier one in time.
  void save(checkpoints::RunState run);

  // Waits until nothing is under way. Throws CheckpointError{io} with the cause if some checkpoint
  // could not be written, and CommunicationError as save does.
  void finish();

  // Of the last save: how long training stood still, and how long the last one written took.
  double last_seconds() const { return last_seconds_; }

 private:
  struct Task {
    checkpoints::RunState run;
    std::size_t buffer = 0;
    std::string no_copy;  // why this rank has none; nothing if it has
    double stall_seconds = 0;
    std::chrono::steady_clock::time_point start;
  };

  void work();
  void prepare();
  std::span<std::byte> buffer(std::size_t number);
  // Returns why there is no copy of the state in it, nothing if there is.
  std::string copy_to(std::size_t number);
  void write(const Task& task);
  // Runs `part` and tells every rank how it went: throws on all of them what failed on any.
  void agree(const std::function<std::string()>& part, std::vector<std::string>* results);
  std::string shard_name() const;
  // On rank 0. Returns the steps of what was removed.
  std::vector<std::int64_t> prune() const;

  kernels::Backend& backend_;
  kernels::Stream& compute_;
  Peers peers_;
  std::unique_ptr<kernels::Stream> stream_;
  RankState& state_;
  const checkpoints::Store& store_;
  const checkpoints::Disk& disk_;
  SaverOptions options_;
  Observer observer_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<std::byte[]> buffers_[2];
  bool taken_[2] = {true, false};  // the first is being prepared
  std::deque<Task> tasks_;
  bool busy_ = false, ending_ = false;
  std::exception_ptr failure_;
  bool lost_peers_ = false;  // was the cause: others may not know of it
  std::atomic<double> last_seconds_ = 0;
  std::thread worker_;
};

}  // namespace trireme::runtime
