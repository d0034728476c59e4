#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace trireme::runtime {

// Ends the process when a thread that has to go on does not: CUDA and NCCL may block for ever in
// the very calls that end what hangs. Calls nothing of either.
class LastResort {
 public:
  using End = std::function<void(const std::string& why)>;

  // Without `end` there is none. After so long that the thread has not said it is alive: in time
  // that this process ran, not while it was stopped.
  LastResort(std::chrono::milliseconds patience, End end);
  LastResort(const LastResort&) = delete;
  LastResort& operator=(const LastResort&) = delete;
  ~LastResort();

  // By the thread that is watched.
  void alive();
  // Why the process ends if that thread does not go on.
  void expect(std::string why);

 private:
  void work();

  std::chrono::milliseconds patience_;
  End end_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
  std::chrono::milliseconds silence_{};
  std::string why_;
  std::thread worker_;
};

}  // namespace trireme::runtime
