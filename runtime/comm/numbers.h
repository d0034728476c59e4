#pragma once

#include <span>

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"

namespace trireme::runtime {

// A few numbers of the host, over the ranks of a group. Collective; block until they are there.
void reduce_numbers(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                    std::span<double> numbers, Reduction reduction);
void broadcast_numbers(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                       std::span<double> numbers, int root);

}  // namespace trireme::runtime
