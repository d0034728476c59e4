#pragma once

#include <memory>
#include <vector>

#include "runtime/comm/communicator.h"

namespace trireme::runtime {

// Ranks that are threads of one process: for tests, the thread sanitizer, and a run that is alone.
// Element i is rank i's end.
std::vector<std::unique_ptr<Communicator>> make_local_world(int size,
                                                            CommunicatorOptions options = {});

}  // namespace trireme::runtime
