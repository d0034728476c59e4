#pragma once

#include <span>

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"

namespace trireme::runtime {

// A few numbers of the host, over the ranks of a group. Collective; block until they are there.
void sum_numbers(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                 std::span<double> numbers);
// Each the largest of all ranks; NaN if it is that on any: it must reach whoever checks for it.
void largest_numbers(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                     std::span<double> numbers);
void broadcast_numbers(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                       std::span<double> numbers, int root);

}  // namespace trireme::runtime
