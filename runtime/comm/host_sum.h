#pragma once

#include <cstdint>

#include "kernels/dtype.h"

namespace trireme::runtime {

// into[i] = into[i] + from[i], in host memory; half-width floats are added in f32.
void add_on_host(kernels::Dtype dtype, void* into, const void* from, std::int64_t count);

}  // namespace trireme::runtime
