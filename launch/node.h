#pragma once

#include <cstdint>

namespace trireme::launch {

// Cores this process may run on: fewer than the node has where a launcher binds ranks to cores, or
// where OMP_THREAD_LIMIT says so.
int usable_cores();

// Cores of the node, whoever may use them.
int node_cores();

// Bytes of physical memory of the node.
std::int64_t node_memory();

}  // namespace trireme::launch
