#include "runtime/comm/staged_communicator.h"

#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/cpu/host_stream.h"

namespace trireme::runtime {
namespace {

using kernels::Backend;
using kernels::Event;
using kernels::HostStream;
using kernels::Stream;
using kernels::View;

// Host memory of operations under way, used again: to get it is slow where it has to be pinned.
class StagingMemory {
 public:
  struct Block {
    std::shared_ptr<std::byte[]> memory;
    std::size_t bytes = 0;
  };

  explicit StagingMemory(Backend& device) : device_(device) {}

  // At least `bytes`.
  Block take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    for (auto free = free_.lower_bound(bytes); free != free_.end(); ++free) {
      // Not one that is much too large: it would be missing elsewhere.
      if (free->first > 2 * bytes + kSmall) break;
      if (!free->second.after->reached()) continue;
      Block block{.memory = std::move(free->second.memory), .bytes = free->first};
      free_.erase(free);
      return block;
    }
    return {.memory = device_.host_memory(bytes), .bytes = bytes};
  }

  // For others, once `after` is reached.
  void give_back(Block block, std::shared_ptr<const Event> after) {
    const std::lock_guard lock(mutex_);
    free_.emplace(block.bytes, Free{.memory = std::move(block.memory), .after = std::move(after)});
  }

 private:
  static constexpr std::size_t kSmall = 4096;

  struct Free {
    std::shared_ptr<std::byte[]> memory;
    std::shared_ptr<const Event> after;
  };

  Backend& device_;
  std::mutex mutex_;
  std::multimap<std::size_t, Free> free_;  // by size
};

// What all groups of a rank share: memory, and for each stream of the device one of the host, on
// which its operations go on.
class Stage {
 public:
  explicit Stage(Backend& device) : device_(device), memory_(device) {}

  Backend& device() { return device_; }
  StagingMemory& memory() { return memory_; }

  HostStream& beside(const Stream& stream) {
    const std::lock_guard lock(mutex_);
    auto& found = streams_[&stream];
    if (!found) found = std::make_unique<HostStream>();
    return *found;
  }

 private:
  Backend& device_;
  StagingMemory memory_;
  std::mutex mutex_;
  std::map<const Stream*, std::unique_ptr<HostStream>> streams_;  // last: its work uses the above
};

// One operation: views are staged, it runs on the host, and what it made goes back, all in the
// order of the device's stream.
class Operation {
 public:
  Operation(Stage& stage, Stream& stream, std::size_t bytes)
      : stage_(stage), stream_(stream), block_(stage.memory().take(bytes)) {}

  // The next part of the staging memory, with the shape of `view`.
  View place_of(View view) {
    const View staged(block_.memory.get() + used_, view.shape(), view.dtype);
    used_ += rounded(view.bytes());
    return staged;
  }

  void download(View from, View staged) {
    stage_.device().download(stream_, from, bytes_of(staged));
  }

  // Before any upload. The stream waits for what `work` enqueues.
  void run(const std::function<void(Stream&)>& work) {
    HostStream& host = stage_.beside(stream_);
    host.wait_for(stream_.record());
    work(host);
    host.enqueue_always(
        [hold = stage_.device().hold(stream_)](std::exception_ptr failure) { hold->end(failure); });
  }

  void upload(View staged, View to) { stage_.device().upload(stream_, bytes_of(staged), to); }

  void finish() { stage_.memory().give_back(std::move(block_), stream_.record()); }

  static std::size_t rounded(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

 private:
  static std::span<std::byte> bytes_of(View view) {
    return {static_cast<std::byte*>(view.data), view.bytes()};
  }

  Stage& stage_;
  Stream& stream_;
  StagingMemory::Block block_;
  std::size_t used_ = 0;
};

std::size_t bytes_of(std::span<const Message> messages) {
  std::size_t bytes = 0;
  for (const Message& message : messages) bytes += Operation::rounded(message.data.bytes());
  return bytes;
}

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(std::unique_ptr<Communicator> inner, std::shared_ptr<Stage> stage)
      : inner_(std::move(inner)), stage_(std::move(stage)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  const std::string& name() const override { return inner_->name(); }

  void broadcast(Stream& stream, View data, int root) override {
    if (size() == 1) return;
    Operation operation(*stage_, stream, data.bytes());
    const View staged = operation.place_of(data);
    if (rank() == root) operation.download(data, staged);
    operation.run([&](Stream& host) { inner_->broadcast(host, staged, root); });
    if (rank() != root) operation.upload(staged, data);
    operation.finish();
  }

  void all_reduce(Stream& stream, View data) override {
    if (size() == 1) return;
    Operation operation(*stage_, stream, data.bytes());
    const View staged = operation.place_of(data);
    operation.download(data, staged);
    operation.run([&](Stream& host) { inner_->all_reduce(host, staged); });
    operation.upload(staged, data);
    operation.finish();
  }

  void reduce_scatter(Stream& stream, View all, View mine) override {
    if (size() == 1 && all.data == mine.data) return;
    Operation operation(*stage_, stream, all.bytes());
    const View staged = operation.place_of(all), part = part_of(staged, mine);
    operation.download(all, staged);
    operation.run([&](Stream& host) { inner_->reduce_scatter(host, staged, part); });
    operation.upload(part, mine);
    operation.finish();
  }

  void all_gather(Stream& stream, View mine, View all) override {
    if (size() == 1 && all.data == mine.data) return;
    Operation operation(*stage_, stream, all.bytes());
    const View staged = operation.place_of(all), part = part_of(staged, mine);
    operation.download(mine, part);
    operation.run([&](Stream& host) { inner_->all_gather(host, part, staged); });
    operation.upload(staged, all);
    operation.finish();
  }

  void all_to_all(Stream& stream, View sent, View received) override {
    Operation operation(*stage_, stream,
                        Operation::rounded(sent.bytes()) + Operation::rounded(received.bytes()));
    const View from = operation.place_of(sent), to = operation.place_of(received);
    operation.download(sent, from);
    operation.run([&](Stream& host) { inner_->all_to_all(host, from, to); });
    operation.upload(to, received);
    operation.finish();
  }

  void exchange(Stream& stream, std::span<const Message> sends,
                std::span<const Message> receives) override {
    Operation operation(*stage_, stream, bytes_of(sends) + bytes_of(receives));
    const std::vector<Message> staged_sends = staged(operation, sends);
    const std::vector<Message> staged_receives = staged(operation, receives);
    for (std::size_t i = 0; i < sends.size(); ++i) {
      operation.download(sends[i].data, staged_sends[i].data);
    }
    operation.run([&](Stream& host) { inner_->exchange(host, staged_sends, staged_receives); });
    for (std::size_t i = 0; i < receives.size(); ++i) {
      operation.upload(staged_receives[i].data, receives[i].data);
    }
    operation.finish();
  }

 private:
  std::unique_ptr<Communicator> split_off(int color, std::string name,
                                          const GroupOptions& options) override {
    return std::make_unique<StagedCommunicator>(inner_->split(color, std::move(name), options),
                                                stage_);
  }

  // This rank's part of a staged whole, with the shape of `mine`.
  View part_of(View staged, View mine) const {
    return View(
        static_cast<std::byte*>(staged.data) + static_cast<std::size_t>(rank()) * mine.bytes(),
        mine.shape(), mine.dtype);
  }

  static std::vector<Message> staged(Operation& operation, std::span<const Message> messages) {
    std::vector<Message> result;
    for (const Message& message : messages) {
      result.push_back({.peer = message.peer, .data = operation.place_of(message.data)});
    }
    return result;
  }

  std::unique_ptr<Communicator> inner_;
  std::shared_ptr<Stage> stage_;
};

}  // namespace

std::unique_ptr<Communicator> make_staged(std::unique_ptr<Communicator> inner, Backend& device) {
  return std::make_unique<StagedCommunicator>(std::move(inner), std::make_shared<Stage>(device));
}

}  // namespace trireme::runtime
