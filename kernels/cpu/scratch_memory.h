#pragma once

#include <cstddef>

namespace trireme::kernels {

// Memory for the length of one operation, aligned to a cache line. Every thread keeps what it has
// given back for its next operation: fresh memory costs a page fault for every 4 KiB. Throws
// DeviceError when there is no more. Not inline, so that it is compiled for every machine.
void* take_scratch(std::size_t bytes);

// On the thread that took it, with the size it was taken with.
void give_scratch(void* data, std::size_t bytes);

}  // namespace trireme::kernels
