#pragma once

#include <nccl.h>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace trireme::runtime {

// One communicator of NCCL. Every failure is a CommunicationError that names the group, and loses
// it: it cannot be used any more.
//
// Of NCCL's two kinds it is the one whose calls block: with the other, NCCL 2.28 starts a thread
// for every operation, which costs more than the operation. What may take long is to meet the peers
// and to connect to them, which a thread does that can be left behind. An operation is then on its
// stream when it is asked for.
class NcclGroup {
 public:
  struct Place {
    int rank = 0, size = 1;
    std::string name;
    std::chrono::milliseconds timeout{};
    bool only_messages = false;
  };

  // Collective over the ranks that have the same `id`; waits for all of them, and connects to the
  // next one and the one before.
  NcclGroup(const ncclUniqueId& id, Place place);
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;
  // Collective, but does not wait for lost peers.
  ~NcclGroup();

  const Place& place() const { return place_; }

  // What `calls` asks of NCCL, as one operation, is on its stream when this returns. `calls` gets
  // every result checked that it gives to its argument.
  using Check = std::function<void(ncclResult_t)>;
  void enqueue(const char* operation,
               const std::function<void(ncclComm_t, const Check& check)>& calls);

  // From another thread: what went wrong on the way since, in the network or at a peer. Nothing if
  // it is not known now.
  std::optional<std::string> error_of_peers();
  // Why it is lost; null if it is not.
  std::exception_ptr failure() const;
  // From another thread: loses these groups, and ends their kernels. All of them at once, because
  // giving one up waits for what is running on the device, and so for the kernels of the others.
  static void abandon(const std::vector<std::shared_ptr<NcclGroup>>& groups,
                      const std::exception_ptr& failure);

 private:
  struct Made;

  std::string text_of(const char* operation, ncclResult_t status) const;
  void set_failure(const std::exception_ptr& failure);
  void throw_failure() const;
  [[noreturn]] void lose(const std::string& why);

  Place place_;
  std::shared_ptr<Made> made_;
  std::mutex mutex_;  // of the communicator
  ncclComm_t communicator_ = nullptr;
  mutable std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

}  // namespace trireme::runtime
