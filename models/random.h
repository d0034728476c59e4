#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "models/parameters.h"

namespace trireme::models {

// Initial values are a pure function of (seed, parameter name, index in the whole parameter), so
// no layout can change them. Philox4x32-10 (Salmon et al. 2011) makes the bits, Box and Muller's
// transform the normal deviates.

// Values of the elements [first, first + values.size()) of the parameter, row-major.
void initial_values(const Parameter& parameter, std::uint64_t seed, std::int64_t first,
                    std::span<float> values);

}  // namespace trireme::models
