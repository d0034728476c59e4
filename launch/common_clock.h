#pragma once

#include <string>
#include <vector>

#include "launch/bootstrap.h"

namespace trireme::launch {

// This rank's std::chrono::steady_clock beside rank 0's: common time is local time + offset, in
// seconds since rank 0 agreed on it.
struct CommonClock {
  double offset = 0;
  double uncertainty = 0;  // seconds; 0 on the node of rank 0, whose ranks have one clock
};

// Collective. `hosts` is the host of every rank.
CommonClock agree_on_clock(Job& job, const std::vector<std::string>& hosts);

}  // namespace trireme::launch
