#pragma once

#include <memory>

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"

namespace trireme::runtime {

// A communicator for streams of `device` whose bytes go through host memory, and there through
// `inner`, a communicator for streams of the host: for ranks that share a GPU, and wherever the
// device's own library is not to be had. So are groups split from it. Operations of one stream go
// in its order, those of different streams side by side. `device` is borrowed.
std::unique_ptr<Communicator> make_staged(std::unique_ptr<Communicator> inner,
                                          kernels::Backend& device);

}  // namespace trireme::runtime
