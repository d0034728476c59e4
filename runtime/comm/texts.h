#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"

namespace trireme::runtime {

// Texts of the host between the ranks of a group. Collective; block until they are there.

// Every rank's text, in the order of the ranks, on rank 0; nothing elsewhere.
std::vector<std::string> gather_texts(kernels::Backend& backend, kernels::Stream& stream,
                                      Communicator& group, const std::string& text);

// Rank 0's text, on every rank.
std::string broadcast_text(kernels::Backend& backend, kernels::Stream& stream, Communicator& group,
                           const std::string& text);

}  // namespace trireme::runtime
