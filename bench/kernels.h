#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"

namespace trireme::bench {

// One operation against what bounds it on this machine, measured in this run.
struct KernelResult {
  std::string name;
  std::string shape;
  double seconds = 0;  // median
  double rate = 0;     // FLOP/s or bytes/s
  double limit = 0;    // peak of the dtype or copy bandwidth
  bool is_bandwidth = false;
  // Of the fastest of all ways to do it that its library names; 0 where there is but one.
  double fastest_way = 0;

  double fraction() const { return rate / limit; }
};

struct KernelOptions {
  kernels::Dtype dtype = kernels::Dtype::f32;
  bool large = false;     // shapes that fill a GPU, beyond its caches
  double seconds = 0.3;   // to spend on each operation
  std::string only = {};  // operations whose name contains this
};

// The operations of a training step, at typical shapes and on random numbers.
std::vector<KernelResult> run_kernels(kernels::Backend& backend, const KernelOptions& options);

}  // namespace trireme::bench
