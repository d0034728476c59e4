#include "launch/mpi_job.h"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "launch/exit_code.h"
#include "launch/last_words.h"

namespace trireme::launch {
namespace {

// All ranks, for messages that are never taken for others. As long as MPI is up.
MPI_Comm own_group() {
  MPI_Comm handle;
  MPI_Comm_dup(MPI_COMM_WORLD, &handle);
  return handle;
}

class MpiMailbox final : public Mailbox {
 public:
  void post(int to, const Letter& letter) override {
    std::string& sent = sent_.emplace_back(sizeof(Head) + letter.text.size(), '\0');
    const Head head{static_cast<int>(letter.kind), letter.rank, letter.code};
    std::memcpy(sent.data(), &head, sizeof head);
    letter.text.copy(sent.data() + sizeof head, letter.text.size());
    MPI_Request request;
    MPI_Isend(sent.data(), static_cast<int>(sent.size()), MPI_CHAR, to, 0, group_, &request);
    MPI_Request_free(&request);  // nobody waits for it; `sent_` keeps the bytes
  }

  std::optional<Letter> take() override {
    int has_come = 0;
    MPI_Message message;
    MPI_Status status;
    MPI_Improbe(MPI_ANY_SOURCE, 0, group_, &has_come, &message, &status);
    if (!has_come) return std::nullopt;
    int size = 0;
    MPI_Get_count(&status, MPI_CHAR, &size);
    std::string text(static_cast<std::size_t>(size), '\0');
    MPI_Mrecv(text.data(), size, MPI_CHAR, &message, MPI_STATUS_IGNORE);
    Head head;
    std::memcpy(&head, text.data(), sizeof head);
    return Letter{.kind = static_cast<Letter::Kind>(head.kind),
                  .rank = head.rank,
                  .code = head.code,
                  .text = text.substr(sizeof head)};
  }

 private:
  struct Head {
    int kind, rank, code;
  };

  MPI_Comm group_ = own_group();
  std::deque<std::string> sent_;
};

// MPI, up from here on.
class Mpi {
 public:
  Mpi() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
    if (provided < MPI_THREAD_MULTIPLE) {
      throw runtime::CommunicationError("this MPI does not provide MPI_THREAD_MULTIPLE");
    }
  }
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;
  ~Mpi() { MPI_Finalize(); }
};

class MpiJob final : public Job {
 public:
  MpiJob() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    MPI_Comm node;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &local_rank_);
    MPI_Comm_size(node, &local_size_);
    MPI_Comm_free(&node);
    const LastWords::Options options{
        .hosts = gather(host_name()),
        .end = [this](int code, const std::string& text) { end(code, text); },
        .peers_code = static_cast<int>(ExitCode::communication)};
    last_words_.emplace(std::make_unique<MpiMailbox>(), rank_, options);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }

  std::vector<std::string> gather(const std::string& text) override {
    const auto ranks = static_cast<std::size_t>(size_);
    const int length = static_cast<int>(text.size());
    std::vector<int> lengths(ranks), offsets(ranks);
    MPI_Request request;
    MPI_Iallgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, control_, &request);
    wait(request);
    int total = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      offsets[r] = total;
      total += lengths[r];
    }
    std::string all(static_cast<std::size_t>(total), '\0');
    MPI_Iallgatherv(text.data(), length, MPI_CHAR, all.data(), lengths.data(), offsets.data(),
                    MPI_CHAR, control_, &request);
    wait(request);
    std::vector<std::string> texts;
    for (std::size_t r = 0; r < ranks; ++r) {
      texts.push_back(
          all.substr(static_cast<std::size_t>(offsets[r]), static_cast<std::size_t>(lengths[r])));
    }
    return texts;
  }

  std::unique_ptr<runtime::Communicator> make_world(runtime::CommunicatorOptions options) override {
    return runtime::make_mpi_world(options);
  }

  std::string description() const override {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> version = {};
    int length = 0;
    MPI_Get_library_version(version.data(), &length);
    const std::string library = std::string(version.data(), static_cast<std::size_t>(length));
    const bool mpirun = std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr;
    return std::string(mpirun ? "mpirun" : "srun") + ", " + library.substr(0, library.find(','));
  }

  void set_patience(std::chrono::milliseconds patience) override { patience_ = patience; }

  [[noreturn]] void fail(int code, const std::string& text) override {
    last_words_->fail(code, text);
    end(code, "rank " + std::to_string(rank_) + " (" + host_name() + ") " + text);
  }

 private:
  static constexpr std::chrono::microseconds kAwake{5'000}, kShortest{100}, kLongest{50'000};

  void tell_phase(const std::string& phase) override { last_words_->set_phase(phase); }

  [[noreturn]] void end(int code, const std::string& text) {
    std::fprintf(stderr, "error: %s\n", text.c_str());
    log(text);
    MPI_Abort(MPI_COMM_WORLD, code);
    std::_Exit(code);
  }

  // Ranks that are all there leave at nearly the same time, which their clocks are compared by.
  // Then sleeps between looks: whoever is early leaves its core to those with work to do.
  void wait(MPI_Request& request) const {
    const auto begin = std::chrono::steady_clock::now();
    auto pause = kShortest;
    for (int done = 0;;) {
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done) return;
      const auto waited = std::chrono::steady_clock::now() - begin;
      if (waited < kAwake) {
        std::this_thread::yield();
        continue;
      }
      if (waited > patience_) {
        throw runtime::CommunicationError(
            "waited " + std::to_string(patience_.count()) +
            " ms for other ranks to get as far: to start, to read their files, or to end");
      }
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, kLongest);
    }
  }

  Mpi mpi_;
  MPI_Comm control_ = own_group();
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  std::chrono::milliseconds patience_ = std::chrono::minutes(10);
  std::optional<LastWords> last_words_;  // last: its thread uses the above
};

}  // namespace

std::unique_ptr<Job> make_mpi_job() { return std::make_unique<MpiJob>(); }

}  // namespace trireme::launch
