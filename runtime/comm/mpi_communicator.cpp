#include <mpi.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/cpu/host_stream.h"
#include "runtime/comm/communicator.h"
#include "runtime/comm/host_sum.h"
#include "runtime/comm/patience.h"

namespace trireme::runtime {
namespace {

using kernels::expects;
using kernels::host;
using kernels::Stream;
using kernels::View;

constexpr std::size_t kLargestPiece = std::size_t{1} << 30;  // MPI counts are int
constexpr std::size_t kSegment = std::size_t{256} << 10;     // of a ring, in bytes
constexpr std::size_t kWindow = 4;                           // segments received ahead

void check(int status) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(status, text, &length);
  throw CommunicationError(std::string(text, static_cast<std::size_t>(length)));
}

// Owns an MPI communicator. Move-only, so it is freed exactly once.
class Group {
 public:
  explicit Group(MPI_Comm handle) : handle_(handle) {
    check(MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN));
  }
  Group(Group&& other) noexcept : handle_(std::exchange(other.handle_, MPI_COMM_NULL)) {}
  Group& operator=(Group&&) = delete;
  ~Group() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (handle_ != MPI_COMM_NULL && !finalized) MPI_Comm_free(&handle_);
  }
  MPI_Comm get() const { return handle_; }

 private:
  MPI_Comm handle_;
};

// Polls until it is done; false if that takes longer than the timeout.
bool is_done_in_time(MPI_Request& request, const CommunicatorOptions& options) {
  Patience patience(options.timeout, options.spin);
  int done = 0;
  while (check(MPI_Test(&request, &done, MPI_STATUS_IGNORE)), done == 0) {
    if (!patience.wait()) return false;
  }
  return true;
}

// Bytes [begin, end) of a buffer that goes around the ring in one step.
struct Range {
  std::size_t begin, end;
  std::size_t size() const { return end - begin; }
};

// Runs each operation on the host thread of its stream, so communication on one stream overlaps
// computation on another: OpenMPI makes progress only while someone is inside it.
class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(Group group, std::string name, CommunicatorOptions options)
      : group_(std::move(group)), name_(std::move(name)), options_(options) {
    check(MPI_Comm_rank(group_.get(), &rank_));
    check(MPI_Comm_size(group_.get(), &size_));
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& name() const override { return name_; }

  std::unique_ptr<Communicator> split_off(int color, std::string name,
                                          const GroupOptions& group) override {
    // MPI itself would wait for ever, and not sleep.
    MPI_Request all_are_here;
    check(MPI_Ibarrier(group_.get(), &all_are_here));
    wait({&all_are_here, 1}, "making groups");
    MPI_Comm handle;
    check(MPI_Comm_split(group_.get(), color, rank_, &handle));
    CommunicatorOptions options = options_;
    options.timeout = group.timeout.value_or(options.timeout);
    return std::make_unique<MpiCommunicator>(Group(handle), std::move(name), options);
  }

  void broadcast(Stream& stream, View data, int root) override {
    expects(data.contiguous(), "broadcast: contiguous");
    host(stream).enqueue([=, this] {
      each_piece(data.data, data.bytes(), [&](std::byte* piece, int bytes) {
        MPI_Request request;
        check(MPI_Ibcast(piece, bytes, MPI_BYTE, root, group_.get(), &request));
        wait({&request, 1}, "broadcast");
      });
    });
  }

  // A ring each way: bandwidth-optimal for what is large, and for what is small the latency of
  // 2 (size - 1) hops is small beside a step.
  void all_reduce(Stream& stream, View data) override {
    expects(data.contiguous(), "all_reduce: contiguous");
    host(stream).enqueue([=, this] {
      const auto parts = equal_parts(data);
      ring_reduce(data, parts);
      ring_gather(data, parts);
    });
  }

  void reduce_scatter(Stream& stream, View all, View mine) override {
    expects(all.contiguous() && mine.contiguous(), "reduce_scatter: contiguous");
    expects(mine.size() * size_ == all.size(), "reduce_scatter: mine is 1/size of all");
    host(stream).enqueue([=, this] {
      ring_reduce(all, equal_parts(all));
      std::byte* own = bytes_of(all) + static_cast<std::size_t>(rank_) * mine.bytes();
      if (own != mine.data) std::memcpy(mine.data, own, mine.bytes());
    });
  }

  void all_gather(Stream& stream, View mine, View all) override {
    expects(all.contiguous() && mine.contiguous(), "all_gather: contiguous");
    expects(mine.size() * size_ == all.size(), "all_gather: mine is 1/size of all");
    host(stream).enqueue([=, this] {
      std::byte* own = bytes_of(all) + static_cast<std::size_t>(rank_) * mine.bytes();
      if (own != mine.data) std::memcpy(own, mine.data, mine.bytes());
      ring_gather(all, equal_parts(all));
    });
  }

  void all_to_all(Stream& stream, View sent, View received) override {
    expects(sent.contiguous() && received.contiguous(), "all_to_all: contiguous");
    expects(sent.bytes() == received.bytes() && sent.size() % size_ == 0,
            "all_to_all: equal parts, as many as ranks");
    host(stream).enqueue([=, this] {
      const std::size_t part = sent.bytes() / static_cast<std::size_t>(size_);
      std::vector<MPI_Request> requests;
      for (int peer = 0; peer < size_; ++peer) {
        const std::size_t offset = static_cast<std::size_t>(peer) * part;
        post_receive(requests, bytes_of(received) + offset, part, peer);
        post_send(requests, bytes_of(sent) + offset, part, peer);
      }
      wait(requests, "all_to_all");
    });
  }

  void exchange(Stream& stream, std::span<const Message> sends,
                std::span<const Message> receives) override {
    host(stream).enqueue([this, sends = std::vector(sends.begin(), sends.end()),
                          receives = std::vector(receives.begin(), receives.end())] {
      std::vector<MPI_Request> requests;
      for (const auto& [peer, data] : receives) {
        post_receive(requests, bytes_of(data), data.bytes(), peer);
      }
      for (const auto& [peer, data] : sends) {
        post_send(requests, bytes_of(data), data.bytes(), peer);
      }
      wait(requests, "exchange");
    });
  }

 private:
  static constexpr int kTag = 0;

  static std::byte* bytes_of(View view) { return static_cast<std::byte*>(view.data); }

  template <class Visit>
  static void each_piece(void* data, std::size_t bytes, Visit visit) {
    for (std::size_t done = 0; done < bytes; done += kLargestPiece) {
      visit(static_cast<std::byte*>(data) + done,
            static_cast<int>(std::min(kLargestPiece, bytes - done)));
    }
  }

  void post_send(std::vector<MPI_Request>& requests, std::byte* data, std::size_t bytes, int to) {
    each_piece(data, bytes, [&](std::byte* piece, int count) {
      check(MPI_Isend(piece, count, MPI_BYTE, to, kTag, group_.get(), &requests.emplace_back()));
    });
  }

  void post_receive(std::vector<MPI_Request>& requests, std::byte* data, std::size_t bytes,
                    int from) {
    each_piece(data, bytes, [&](std::byte* piece, int count) {
      check(MPI_Irecv(piece, count, MPI_BYTE, from, kTag, group_.get(), &requests.emplace_back()));
    });
  }

  // One part of the view for each rank, in whole elements.
  std::vector<Range> equal_parts(View view) const {
    const std::size_t width = kernels::size_of(view.dtype);
    const auto elements = static_cast<std::size_t>(view.size());
    const auto ranks = static_cast<std::size_t>(size_);
    std::vector<Range> parts;
    for (std::size_t r = 0; r < ranks; ++r) {
      parts.push_back({elements * r / ranks * width, elements * (r + 1) / ranks * width});
    }
    return parts;
  }

  const Range& part_of(const std::vector<Range>& parts, int rank) const {
    return parts[static_cast<std::size_t>((rank % size_ + size_) % size_)];
  }

  // Leaves the reduction of part rank() in place, after size - 1 steps in which each part goes
  // once around. Segments are reduced as they arrive, while the next ones are on their way.
  void ring_reduce(View data, const std::vector<Range>& parts) {
    const int next = (rank_ + 1) % size_, previous = (rank_ + size_ - 1) % size_;
    arrived_.resize(kSegment * kWindow);
    for (int step = 0; step + 1 < size_; ++step) {
      const Range sent = part_of(parts, rank_ - 1 - step);
      const Range kept = part_of(parts, rank_ - 2 - step);
      std::vector<MPI_Request> sends;
      for (std::size_t at = sent.begin; at < sent.end; at += kSegment) {
        post_send(sends, bytes_of(data) + at, std::min(kSegment, sent.end - at), next);
      }
      receive_and_reduce(data, kept, previous);
      wait(sends, "ring");
    }
  }

  void receive_and_reduce(View data, Range kept, int from) {
    std::vector<MPI_Request> window(kWindow, MPI_REQUEST_NULL);
    const std::size_t segments = (kept.size() + kSegment - 1) / kSegment;
    const auto begin = [&](std::size_t s) { return kept.begin + s * kSegment; };
    const auto bytes = [&](std::size_t s) { return std::min(kSegment, kept.end - begin(s)); };
    const auto slot = [&](std::size_t s) { return arrived_.data() + s % kWindow * kSegment; };
    const auto post = [&](std::size_t s) {
      if (s >= segments) return;
      check(MPI_Irecv(slot(s), static_cast<int>(bytes(s)), MPI_BYTE, from, kTag, group_.get(),
                      &window[s % kWindow]));
    };
    for (std::size_t s = 0; s < kWindow; ++s) post(s);
    for (std::size_t s = 0; s < segments; ++s) {
      wait({&window[s % kWindow], 1}, "ring");
      add_on_host(data.dtype, bytes_of(data) + begin(s), slot(s),
                  static_cast<std::int64_t>(bytes(s) / kernels::size_of(data.dtype)));
      post(s + kWindow);
    }
  }

  // Part rank() of each rank goes around until everyone has it.
  void ring_gather(View data, const std::vector<Range>& parts) {
    const int next = (rank_ + 1) % size_, previous = (rank_ + size_ - 1) % size_;
    for (int step = 0; step + 1 < size_; ++step) {
      const Range sent = part_of(parts, rank_ - step);
      const Range received = part_of(parts, rank_ - step - 1);
      std::vector<MPI_Request> requests;
      post_receive(requests, bytes_of(data) + received.begin, received.size(), previous);
      post_send(requests, bytes_of(data) + sent.begin, sent.size(), next);
      wait(requests, "ring");
    }
  }

  // Waits for all of `requests`, but for no longer than the timeout for each. One by one: where one
  // is done the others are on their way, and MPI_Test looks again after it has made progress, which
  // MPI_Testsome leaves to the next call.
  void wait(std::span<MPI_Request> requests, const char* operation) const {
    for (MPI_Request& request : requests) {
      if (is_done_in_time(request, options_)) continue;
      throw CommunicationError("rank " + std::to_string(rank_) + " of group " + name_ + members() +
                               " waited " + std::to_string(options_.timeout.count()) +
                               " ms for its peers in " + operation);
    }
  }

  // Who they are in the job: " (ranks 0, 2, 4, 6)", the first of them.
  std::string members() const {
    constexpr int kMostNamed = 8;
    MPI_Group group, world;
    MPI_Comm_group(group_.get(), &group);
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    std::string text;
    for (int rank = 0; rank < std::min(size_, kMostNamed); ++rank) {
      int in_world = MPI_UNDEFINED;
      MPI_Group_translate_ranks(group, 1, &rank, world, &in_world);
      text += (text.empty() ? " (ranks " : ", ") + std::to_string(in_world);
    }
    MPI_Group_free(&group);
    MPI_Group_free(&world);
    return text + (size_ > kMostNamed ? ", ...)" : ")");
  }

  Group group_;
  const std::string name_;
  const CommunicatorOptions options_;
  int rank_ = 0;
  int size_ = 0;
  std::vector<std::byte> arrived_;  // used by one operation at a time, in the group's order
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_world(CommunicatorOptions options) {
  MPI_Comm handle;
  MPI_Request made;
  check(MPI_Comm_idup(MPI_COMM_WORLD, &handle, &made));
  if (!is_done_in_time(made, options)) {
    throw CommunicationError("waited " + std::to_string(options.timeout.count()) +
                             " ms for all ranks to make a world");
  }
  return std::make_unique<MpiCommunicator>(Group(handle), "world", options);
}

}  // namespace trireme::runtime
