#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"

namespace trireme::bench {

struct CollectivesOptions {
  std::vector<std::int64_t> bytes;  // of the buffer that all ranks reduce, gather or send
  std::string only;                 // operations whose name contains this; empty: all
  kernels::Dtype dtype = kernels::Dtype::f32;
  double seconds = 0.2;  // to spend on each size, about
};

// One operation of all ranks of a group, of several that follow each other: a rank may be done with
// one while others are not, and the root of a broadcast runs ahead.
struct CollectiveTime {
  std::string name;
  std::int64_t bytes = 0;  // of the whole buffer: what each rank holds before or after
  double seconds = 0;      // of the slowest rank; the median of several rounds
  // Bytes per second that any algorithm has to move into or out of each rank, at the least:
  // comparable between operations and numbers of ranks.
  double bus_rate = 0;
};

// The operations by name: all_reduce, ...
std::vector<std::string> collective_names();

// Collective over `world`, of two ranks or more. Sizes are rounded up to whole elements on every
// rank; every result has its own.
std::vector<CollectiveTime> run_collectives(kernels::Backend& backend, runtime::Communicator& world,
                                            const CollectivesOptions& options);

}  // namespace trireme::bench
