#include "kernels/cpu/instruction_set.h"

#include <string>

#include "kernels/check.h"

namespace trireme::kernels {

namespace x86_64_v3 {
void run(const Operation& operation);
double measure_peak_flops();
}  // namespace x86_64_v3

namespace x86_64_v4 {
void run(const Operation& operation);
double measure_peak_flops();
}  // namespace x86_64_v4

const InstructionSet& best_instruction_set() {
  static constexpr InstructionSet v3{"x86-64-v3", x86_64_v3::run, x86_64_v3::measure_peak_flops};
  static constexpr InstructionSet v4{"x86-64-v4", x86_64_v4::run, x86_64_v4::measure_peak_flops};
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return v4;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return v3;
  throw DeviceError(
      "the CPU backend needs a processor with AVX2 and FMA (x86-64-v3, 2013 or later)");
}

}  // namespace trireme::kernels
