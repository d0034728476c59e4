#pragma once

#include <string>
#include <vector>

#include "launch/rank_setup.h"

namespace trireme::launch {

// What a rank found when it looked for a device.
struct FoundDevice {
  bool cuda = false;
  std::string host = {};
  std::string problem = {};  // why it is not CUDA, where there might be a GPU
};

// Why ranks that found these cannot train together; nothing if all found the same kind.
std::string device_mix(const std::vector<FoundDevice>& found);

// Collective. Ranks for which train.device = "auto" became different devices end together: one node
// whose driver or libraries are not found would otherwise wait for the others, and they for it.
void agree_on_device(RankSetup& setup, Job& job);

}  // namespace trireme::launch
