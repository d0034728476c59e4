#include "launch/common_clock.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace trireme::launch {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string exact_text(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%a", value);
  return text;
}

}  // namespace

// All ranks leave a collective at nearly the same time: what each clock shows then, again and
// again, and the median of the differences.
CommonClock agree_on_clock(Job& job, const std::vector<std::string>& hosts) {
  constexpr int kRounds = 21;
  std::vector<double> ahead;  // of this rank's clock, rank 0's
  double origin = 0;
  std::string shown;
  for (int round = 0; round <= kRounds; ++round) {
    const double before = shown.empty() ? 0 : std::strtod(shown.c_str(), nullptr);
    const std::string first = job.gather(shown).front();
    const double left = now();
    if (!shown.empty()) {
      origin = std::strtod(first.c_str(), nullptr);
      ahead.push_back(origin - before);
    }
    shown = exact_text(left);
  }
  const auto rank = static_cast<std::size_t>(job.rank());
  if (hosts[rank] == hosts.front()) return {.offset = -origin};
  std::ranges::sort(ahead);
  return {.offset = ahead[ahead.size() / 2] - origin,
          .uncertainty = (ahead[ahead.size() * 3 / 4] - ahead[ahead.size() / 4]) / 2};
}

}  // namespace trireme::launch
