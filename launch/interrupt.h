#pragma once

#include <atomic>

namespace trireme::launch {

// That a run should stop after the step it is in, and which signal asked for it: 0 if none did.
struct StopRequest {
  std::atomic<bool> requested = false;
  std::atomic<int> signal = 0;
};

// Set from now on by SIGTERM, SIGUSR1 (what job schedulers send ahead of the end) and SIGINT. A
// SIGTERM or SIGINT two seconds later, or more, kills as usual.
StopRequest& watch_for_stop();

}  // namespace trireme::launch
