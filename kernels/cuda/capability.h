#pragma once

#include <span>
#include <string>

namespace trireme::kernels {

// Compute capabilities as nvcc counts them: 900 is 9.0. What this module was built for, lowest
// first.
std::span<const int> built_capabilities();

// Whether a device runs what was built for these: a binary runs on its own generation from its own
// number on, and the last one's PTX on all that came later.
bool runs_on(int device, std::span<const int> built);

std::string capability_text(int capability);  // "9.0"

// What a multiprocessor does in a cycle, in FLOP: dense products of 16-bit numbers with sums in
// fp32, and fp32 without tensor cores.
struct CycleFlops {
  double tensor, fp32;
};
CycleFlops flops_of_a_cycle(int capability);

}  // namespace trireme::kernels
