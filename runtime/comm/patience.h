#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace trireme::runtime {

// How to poll for something another process does: a short spin if cores are free, then sleeps of a
// small share of the time waited so far, so that ranks that outnumber the cores leave them to those
// with work to do, and what comes soon is noticed soon.
class Patience {
 public:
  Patience(std::chrono::milliseconds timeout, bool spin)
      : timeout_(timeout), spins_(spin ? 2000 : 20) {}

  // Call after a poll that found nothing. False once the timeout has passed.
  bool wait() {
    if (polls_++ < spins_) return true;
    const auto now = std::chrono::steady_clock::now();
    if (polls_ == spins_ + 1) start_ = now;
    const auto waited = now - start_;
    if (waited > timeout_) return false;
    std::this_thread::sleep_for(
        std::clamp<std::chrono::nanoseconds>(waited / kShare, kShortestSleep, kLongestSleep));
    return true;
  }

 private:
  static constexpr std::chrono::nanoseconds kShortestSleep{5'000};
  static constexpr std::chrono::nanoseconds kLongestSleep{200'000};
  static constexpr int kShare = 400;

  std::chrono::milliseconds timeout_;
  int spins_;
  int polls_ = 0;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace trireme::runtime
