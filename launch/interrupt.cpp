#include "launch/interrupt.h"

#include <csignal>

namespace trireme::launch {
namespace {

// Signal handlers reach nothing but variables of the process.
StopRequest request;
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

extern "C" void on_signal(int signal) {
  request.signal = signal;
  request.requested = true;
  // Schedulers may send theirs more than once; people who insist are obeyed.
  if (signal != SIGUSR1) std::signal(signal, SIG_DFL);
}

}  // namespace

StopRequest& watch_for_stop() {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) std::signal(signal, on_signal);
  return request;
}

}  // namespace trireme::launch
