#pragma once

#include <atomic>

namespace trireme::launch {

// Becomes true at the first SIGINT or SIGTERM after this is called; the second one kills as usual.
const std::atomic<bool>& watch_for_interrupt();

}  // namespace trireme::launch
