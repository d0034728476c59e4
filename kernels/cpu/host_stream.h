#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "kernels/stream.h"

namespace trireme::kernels {

// A stream whose work runs on one host thread, in order. After a task has failed the tasks behind
// it are dropped, until synchronize reports the failure; events are still reached, so that nobody
// waits for ever.
class HostStream final : public Stream {
 public:
  // `threads` is the size of the OpenMP team that work on this stream may use. `gone` is called
  // when it has done all it was given, as the last thing it does.
  explicit HostStream(int threads = 1, std::function<void(const Stream&)> gone = {});
  ~HostStream() override;

  void enqueue(std::function<void()> task);

  // Runs even after a failure, which it is given.
  void enqueue_always(std::function<void(std::exception_ptr)> task);

  std::shared_ptr<Hold> hold();

  using Stream::wait_for;
  std::shared_ptr<const Event> record() override;
  std::shared_ptr<const Instant> instant() override;
  void wait_for(std::shared_ptr<const Event> event) override;
  void synchronize() override;
  Fail failing() override;

 private:
  struct Task {
    std::function<void(std::exception_ptr)> work;  // told about what failed before it
    bool always;                                   // runs even after a failure
  };

  // For those who may outlive the stream.
  struct Self {
    std::mutex mutex;
    HostStream* stream;  // nothing once it is gone
  };

  void fail(std::exception_ptr failure);
  void push(Task task);
  void run_tasks(int threads);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;  // front is running
  std::exception_ptr failure_;
  bool closing_ = false;
  std::function<void(const Stream&)> gone_;
  std::shared_ptr<Self> self_ = std::make_shared<Self>();
  std::thread worker_;  // last: starts when everything above exists
};

// Streams of host backends are HostStreams; anything else is a caller's mistake.
HostStream& host(Stream& stream);

}  // namespace trireme::kernels
