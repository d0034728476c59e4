#include "launch/interrupt.h"

#include <time.h>

#include <csignal>

namespace trireme::launch {
namespace {

// Signal handlers reach nothing but variables of the process.
StopRequest request;
std::atomic<time_t> first_second = 0;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
              std::atomic<time_t>::is_always_lock_free);

// Schedulers, timeout and terminals send one request as several signals.
constexpr time_t kOneRequest = 2;  // seconds

extern "C" void on_signal(int signal) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  time_t none = 0;
  first_second.compare_exchange_strong(none, now.tv_sec);
  const bool insists = signal != SIGUSR1 && now.tv_sec - first_second >= kOneRequest;
  if (insists) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return;
  }
  if (!request.requested) request.signal = signal;
  request.requested = true;
}

}  // namespace

StopRequest& watch_for_stop() {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) {
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(signal, &action, nullptr);
  }
  return request;
}

}  // namespace trireme::launch
