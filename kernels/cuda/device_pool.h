#pragma once

#include <memory>

#include "kernels/memory.h"

namespace trireme::kernels {

// The memory of this device, which is that of the calling thread. Throws DeviceError if it cannot
// map memory as it is needed.
std::unique_ptr<Pool> make_device_pool(int device);

}  // namespace trireme::kernels
