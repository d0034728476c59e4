#pragma once

#include <cstddef>

namespace trireme::kernels {

// Memory aligned to a cache line, for std::free. Throws DeviceError when there is no more. Not
// inline, so that it is compiled for every machine.
void* allocate_scratch(std::size_t bytes);

}  // namespace trireme::kernels
