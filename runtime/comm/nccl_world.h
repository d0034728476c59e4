#pragma once

#include <memory>

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"

namespace trireme::runtime {

// A communicator for streams of `device`, a GPU of its own for every rank, over NCCL. `inner` is of
// the same ranks, for streams of the host: groups form over it. So do groups split from it. Waits
// have the timeout of `options`, groups may change it. `device` is borrowed and outlives all of
// them, as do the streams what is enqueued on them.
//
// The world itself, and groups that are seldom used, go through host memory. Every other group
// connects to its neighbors when it forms, so no operation waits on the host for a peer. Groups run
// side by side: what their kernels take of a GPU is bounded, so that those that wait cannot keep out
// those waited for.
//
// Throws CommunicationError if this build or this machine has no NCCL, or peers do not come.
std::unique_ptr<Communicator> make_nccl(std::unique_ptr<Communicator> inner,
                                        kernels::Backend& device, CommunicatorOptions options);

}  // namespace trireme::runtime
