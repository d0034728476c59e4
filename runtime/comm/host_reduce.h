#pragma once

#include "kernels/dtype.h"
#include "runtime/comm/communicator.h"

namespace trireme::runtime {

// into[i] = into[i] + from[i] (or the larger), in host memory, in the arithmetic of the dtype.
void reduce_on_host(kernels::Dtype dtype, Reduction reduction, void* into, const void* from,
                    std::int64_t count);

}  // namespace trireme::runtime
