#pragma once

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"

// The door of the module, which runtime/comm/nccl_module.cpp looks for. See make_nccl: `inner` is
// taken, what is returned is the caller's.
extern "C" trireme::runtime::Communicator* trireme_make_nccl(
    trireme::runtime::Communicator* inner, trireme::kernels::Backend* device,
    const trireme::runtime::CommunicatorOptions* options);
