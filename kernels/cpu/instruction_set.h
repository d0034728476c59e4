#pragma once

#include "kernels/cpu/matmul.h"

namespace trireme::kernels {

// The operations of cpu/vector as compiled for one instruction set.
struct InstructionSet {
  const char* name;
  RunVectorOperation run;
  double (*measure_peak_flops)();
};

// The newest one this processor has. Throws DeviceError if it is older than all of them.
const InstructionSet& best_instruction_set();

}  // namespace trireme::kernels
