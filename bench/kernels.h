#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"

namespace trireme::bench {

// One operation against what bounds it on this machine, both measured in this run.
struct KernelResult {
  std::string name;
  std::string shape;
  double seconds = 0;  // median
  double rate = 0;     // FLOP/s or bytes/s
  double limit = 0;    // FMA peak or copy bandwidth
  bool is_bandwidth = false;

  double fraction() const { return rate / limit; }
};

// The operations of a training step, at f32 and typical shapes.
std::vector<KernelResult> run_kernels(kernels::Backend& backend, double seconds_per_kernel);

}  // namespace trireme::bench
