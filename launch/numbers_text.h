#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trireme::launch {

// In rising order. `value` is at least 1.
std::vector<std::int64_t> divisors_of(std::int64_t value);

// Those closest to `value`, few enough to be read, in rising order.
std::vector<std::int64_t> nearest(std::vector<std::int64_t> values, std::int64_t value);

// "1, 2, 4".
std::string listed(const std::vector<std::int64_t>& values);

}  // namespace trireme::launch
