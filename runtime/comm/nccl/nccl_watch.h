#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/stream.h"
#include "runtime/comm/nccl/last_resort.h"
#include "runtime/comm/nccl/nccl_group.h"

namespace trireme::runtime {

// NCCL waits for a peer for ever, in a kernel. This thread looks at what is under way, and when it
// takes longer than the timeout of its group, NCCL has seen an error or a group is lost, it fails
// the streams that wait, with the cause, and gives up all groups: who lost one peer starts again.
class NcclWatch {
 public:
  // `last_resort` ends the process when this thread itself hangs, looking or giving up.
  NcclWatch(std::chrono::milliseconds patience, LastResort::End last_resort);
  NcclWatch(const NcclWatch&) = delete;
  NcclWatch& operator=(const NcclWatch&) = delete;
  ~NcclWatch();

  // An operation of `group` on a stream, which runs between two points of it.
  struct Operation {
    std::shared_ptr<NcclGroup> group;
    const kernels::Stream* stream = nullptr;  // tells streams apart: it may be gone
    kernels::Stream::Fail fail;
    const char* name = "";
    std::shared_ptr<const kernels::Event> begin, end;
  };
  void add(Operation operation);

  void join(std::shared_ptr<NcclGroup> group);
  // When it returns, the watch holds nothing of the group any more.
  void leave(const std::shared_ptr<NcclGroup>& group);

 private:
  using Clock = std::chrono::steady_clock;
  struct Watched {
    Operation operation;
    std::optional<Clock::time_point> began;
  };
  using Queue = std::deque<Watched>;

  void work();
  void look();
  void drop_done();
  // Why the operation that a stream is at has to be given up, if it has to.
  static std::optional<std::string> failure_of(Watched& first);
  std::exception_ptr failure_of_groups() const;
  void give_up(const std::exception_ptr& failure);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
  std::vector<std::shared_ptr<NcclGroup>> groups_;
  std::map<const kernels::Stream*, Queue> under_way_;  // in the order of the stream
  LastResort last_resort_;
  std::thread worker_;
};

}  // namespace trireme::runtime
