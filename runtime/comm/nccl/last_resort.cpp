#include "runtime/comm/nccl/last_resort.h"

#include <algorithm>
#include <utility>

namespace trireme::runtime {

LastResort::LastResort(std::chrono::milliseconds patience, End end)
    : patience_(patience), end_(std::move(end)), why_("CUDA does not answer") {
  if (end_) worker_ = std::thread([this] { work(); });
}

LastResort::~LastResort() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (worker_.joinable()) worker_.join();
}

void LastResort::alive() {
  const std::lock_guard lock(mutex_);
  silence_ = {};
}

void LastResort::expect(std::string why) {
  const std::lock_guard lock(mutex_);
  why_ = std::move(why);
}

// Short sleeps that are counted: a process that was stopped for long is not to be ended when it
// goes on.
void LastResort::work() {
  const auto nap =
      std::clamp(patience_ / 20, std::chrono::milliseconds(1), std::chrono::milliseconds(1000));
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, nap, [this] { return ending_; })) {
    silence_ += nap;
    if (silence_ < patience_) continue;
    const std::string why = why_;
    lock.unlock();
    return end_(why);
  }
}

}  // namespace trireme::runtime
