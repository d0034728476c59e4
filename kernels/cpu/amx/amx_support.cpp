#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/cpu/amx/amx_matmul.h"

namespace trireme::kernels {
namespace {

// Below this, packing costs more than is gained.
constexpr std::int64_t kLeastRows = 32, kLeastColumns = 32, kLeastInner = 32;

bool processor_has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    return false;
  }
  return (d & bit_AMX_TILE) != 0 && (d & bit_AMX_BF16) != 0;
}

// Linux gives a process the tiles' registers when it asks.
bool system_allows_amx() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool has_amx() {
  static const bool has = processor_has_amx() && system_allows_amx();
  return has;
}

bool suits_amx(const Matmul& op) {
  return has_amx() && op.a.dtype != Dtype::f64 && !(op.accumulate && op.bias) &&
         op.out.rows >= kLeastRows && op.out.columns >= kLeastColumns && op.inner() >= kLeastInner;
}

}  // namespace trireme::kernels
