#include "runtime/comm/local_world.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "kernels/check.h"
#include "kernels/cpu/host_stream.h"
#include "runtime/comm/host_sum.h"

namespace trireme::runtime {
namespace {

using kernels::expects;
using kernels::host;
using kernels::Stream;
using kernels::View;

using Bytes = std::vector<std::byte>;

std::byte* bytes_of(View view) { return static_cast<std::byte*>(view.data); }

// What the ranks of one group share.
class Meeting {
 public:
  Meeting(int size, std::string name, CommunicatorOptions options)
      : posted(static_cast<std::size_t>(size)),
        colors(static_cast<std::size_t>(size)),
        name_(std::move(name)),
        options_(options),
        size_(size) {}

  // Returns when every rank of the group has arrived.
  void arrive() {
    std::unique_lock lock(mutex_);
    const long round = round_;
    if (++arrived_ == size_) {
      arrived_ = 0;
      ++round_;
      changed_.notify_all();
      return;
    }
    wait(lock, [&] { return round_ != round; });
  }

  void mail(int from, int to, Bytes message) {
    std::lock_guard lock(mutex_);
    mail_[{from, to}].push_back(std::move(message));
    changed_.notify_all();
  }

  Bytes collect(int from, int to) {
    std::unique_lock lock(mutex_);
    auto& box = mail_[{from, to}];
    wait(lock, [&] { return !box.empty(); });
    Bytes message = std::move(box.front());
    box.pop_front();
    return message;
  }

  // The meeting of the ranks with this color; the first to ask makes it.
  std::shared_ptr<Meeting> split_off(int color, int size, const std::string& name,
                                     std::optional<std::chrono::milliseconds> timeout) {
    std::lock_guard lock(mutex_);
    auto& group = split_off_[color];
    CommunicatorOptions options = options_;
    options.timeout = timeout.value_or(options.timeout);
    if (!group) group = std::make_shared<Meeting>(size, name, options);
    return group;
  }

  void forget_split() {
    std::lock_guard lock(mutex_);
    split_off_.clear();
  }

  const std::string& name() const { return name_; }

  // Written by their rank before an arrive(), read by the others after it.
  std::vector<View> posted;
  std::vector<int> colors;

 private:
  template <class Condition>
  void wait(std::unique_lock<std::mutex>& lock, Condition holds) {
    if (!changed_.wait_for(lock, options_.timeout, holds)) {
      throw CommunicationError("group " + name_ + ": a peer is late (waited " +
                               std::to_string(options_.timeout.count()) + " ms)");
    }
  }

  const std::string name_;
  const CommunicatorOptions options_;
  const int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  long round_ = 0;
  std::map<int, std::shared_ptr<Meeting>> split_off_;
  std::map<std::pair<int, int>, std::deque<Bytes>> mail_;  // by (from, to)
};

class LocalCommunicator final : public Communicator {
 public:
  // Shared by the ends of all ranks; the last one to go frees it.
  LocalCommunicator(std::shared_ptr<Meeting> meeting, int rank, int size)
      : meeting_(std::move(meeting)), rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& name() const override { return meeting_->name(); }

  std::unique_ptr<Communicator> split_off(int color, std::string name,
                                          const GroupOptions& options) override {
    meeting_->colors[index()] = color;
    meeting_->arrive();
    const auto& colors = meeting_->colors;
    const auto size = static_cast<int>(std::ranges::count(colors, color));
    const auto rank = static_cast<int>(std::count(colors.begin(), colors.begin() + rank_, color));
    auto group = meeting_->split_off(color, size, name, options.timeout);
    meeting_->arrive();
    if (rank_ == 0) meeting_->forget_split();
    meeting_->arrive();
    return std::make_unique<LocalCommunicator>(std::move(group), rank, size);
  }

  void broadcast(Stream& stream, View data, int root) override {
    expects(data.contiguous(), "broadcast: contiguous");
    host(stream).enqueue([=, this] {
      post(data);
      if (rank_ != root) std::memcpy(data.data, peer(root).data, data.bytes());
      meeting_->arrive();
    });
  }

  void all_reduce(Stream& stream, View data) override {
    expects(data.contiguous(), "all_reduce: contiguous");
    host(stream).enqueue([=, this] {
      post(data);
      const Bytes total = combine(0, data);
      meeting_->arrive();  // everyone has read before anyone writes
      std::ranges::copy(total, bytes_of(data));
    });
  }

  void reduce_scatter(Stream& stream, View all, View mine) override {
    expects(all.contiguous() && mine.contiguous(), "reduce_scatter: contiguous");
    expects(mine.size() * size_ == all.size(), "reduce_scatter: mine is 1/size of all");
    host(stream).enqueue([=, this] {
      post(all);
      const Bytes total = combine(index() * mine.bytes(), mine);
      meeting_->arrive();
      std::ranges::copy(total, bytes_of(mine));
    });
  }

  void all_gather(Stream& stream, View mine, View all) override {
    expects(all.contiguous() && mine.contiguous(), "all_gather: contiguous");
    expects(mine.size() * size_ == all.size(), "all_gather: mine is 1/size of all");
    host(stream).enqueue([=, this] {
      post(mine);
      for (int from = 0; from < size_; ++from) {
        std::byte* part = bytes_of(all) + static_cast<std::size_t>(from) * mine.bytes();
        if (part != peer(from).data) std::memcpy(part, peer(from).data, mine.bytes());
      }
      meeting_->arrive();
    });
  }

  void all_to_all(Stream& stream, View sent, View received) override {
    expects(sent.contiguous() && received.contiguous(), "all_to_all: contiguous");
    expects(sent.bytes() == received.bytes() && sent.size() % size_ == 0,
            "all_to_all: equal parts, as many as ranks");
    host(stream).enqueue([=, this] {
      post(sent);
      const std::size_t part = sent.bytes() / static_cast<std::size_t>(size_);
      for (int from = 0; from < size_; ++from) {
        std::memcpy(bytes_of(received) + static_cast<std::size_t>(from) * part,
                    bytes_of(peer(from)) + index() * part, part);
      }
      meeting_->arrive();
    });
  }

  void exchange(Stream& stream, std::span<const Message> sends,
                std::span<const Message> receives) override {
    host(stream).enqueue([this, sends = std::vector(sends.begin(), sends.end()),
                          receives = std::vector(receives.begin(), receives.end())] {
      for (const auto& [to, data] : sends) {
        meeting_->mail(rank_, to, Bytes(bytes_of(data), bytes_of(data) + data.bytes()));
      }
      for (const auto& [from, data] : receives) {
        const Bytes message = meeting_->collect(from, rank_);
        if (message.size() != data.bytes()) {
          throw CommunicationError("group " + name() + ": rank " + std::to_string(from) + " sent " +
                                   std::to_string(message.size()) + " bytes, rank " +
                                   std::to_string(rank_) + " expects " +
                                   std::to_string(data.bytes()));
        }
        std::ranges::copy(message, bytes_of(data));
      }
    });
  }

 private:
  std::size_t index() const { return static_cast<std::size_t>(rank_); }
  const View& peer(int rank) const { return meeting_->posted[static_cast<std::size_t>(rank)]; }

  void post(View view) {
    meeting_->posted[index()] = view;
    meeting_->arrive();
  }

  // All ranks' bytes [offset, offset + part.bytes()), added in the order of the ranks.
  Bytes combine(std::size_t offset, View part) {
    const std::byte* first = bytes_of(peer(0)) + offset;
    Bytes total(first, first + part.bytes());
    for (int from = 1; from < size_; ++from) {
      add_on_host(part.dtype, total.data(), bytes_of(peer(from)) + offset, part.size());
    }
    return total;
  }

  std::shared_ptr<Meeting> meeting_;
  int rank_;
  int size_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_local_world(int size, CommunicatorOptions options) {
  auto meeting = std::make_shared<Meeting>(size, "world", options);
  std::vector<std::unique_ptr<Communicator>> ends;
  for (int rank = 0; rank < size; ++rank) {
    ends.push_back(std::make_unique<LocalCommunicator>(meeting, rank, size));
  }
  return ends;
}

}  // namespace trireme::runtime
