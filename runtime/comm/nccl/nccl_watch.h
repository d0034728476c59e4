#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/stream.h"
#include "runtime/comm/nccl/nccl_group.h"

namespace trireme::runtime {

// NCCL waits for a peer for ever, in a kernel. This thread looks at what is under way, and when it
// takes longer than the timeout of its group or NCCL has seen an error, it fails the streams that
// wait, with the cause, and ends their kernels.
class NcclWatch {
 public:
  NcclWatch();
  NcclWatch(const NcclWatch&) = delete;
  NcclWatch& operator=(const NcclWatch&) = delete;
  ~NcclWatch();

  // An operation of `group` on `stream`, which runs between two points of it.
  struct Operation {
    std::shared_ptr<NcclGroup> group;
    kernels::Stream* stream = nullptr;
    const char* name = "";
    std::shared_ptr<const kernels::Event> begin, end;
  };
  void add(Operation operation);

 private:
  using Clock = std::chrono::steady_clock;
  struct Watched {
    Operation operation;
    std::optional<Clock::time_point> began;
  };
  using Queue = std::deque<Watched>;

  void work();
  void look();
  // Why the operation that a stream is at has to be given up, if it has to.
  static std::optional<std::string> failure_of(Watched& first);
  void give_up(const std::shared_ptr<NcclGroup>& group, const std::string& why);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
  std::map<const kernels::Stream*, Queue> under_way_;  // in the order of the stream
  std::thread worker_;
};

}  // namespace trireme::runtime
