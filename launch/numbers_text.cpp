#include "launch/numbers_text.h"

#include <algorithm>
#include <cstdlib>

namespace trireme::launch {

std::vector<std::int64_t> divisors_of(std::int64_t value) {
  std::vector<std::int64_t> divisors;
  for (std::int64_t d = 1; d * d <= value; ++d) {
    if (value % d != 0) continue;
    divisors.push_back(d);
    if (d * d != value) divisors.push_back(value / d);
  }
  std::ranges::sort(divisors);
  return divisors;
}

std::vector<std::int64_t> nearest(std::vector<std::int64_t> values, std::int64_t value) {
  constexpr std::size_t kMost = 16;
  if (values.size() <= kMost) return values;
  std::ranges::sort(values, {}, [&](std::int64_t one) { return std::abs(one - value); });
  values.resize(kMost);
  std::ranges::sort(values);
  return values;
}

std::string listed(const std::vector<std::int64_t>& values) {
  std::string text;
  for (const auto value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
  return text;
}

}  // namespace trireme::launch
