#include "runtime/comm/host_reduce.h"

#include <algorithm>

namespace trireme::runtime {
namespace {

template <class Stored, class Real>
void reduce(Reduction reduction, void* into, const void* from, std::int64_t count) {
  auto* target = static_cast<Stored*>(into);
  const auto* source = static_cast<const Stored*>(from);
  if (reduction == Reduction::sum) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) {
      target[i] = static_cast<Stored>(static_cast<Real>(target[i]) + static_cast<Real>(source[i]));
    }
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      // A NaN on either side survives: it must reach whoever checks for it.
      const Real a = static_cast<Real>(target[i]), b = static_cast<Real>(source[i]);
      target[i] = a != a || a > b ? target[i] : source[i];
    }
  }
}

}  // namespace

void reduce_on_host(kernels::Dtype dtype, Reduction reduction, void* into, const void* from,
                    std::int64_t count) {
  using kernels::Dtype;
  switch (dtype) {
    case Dtype::f32: return reduce<float, float>(reduction, into, from, count);
    case Dtype::f64: return reduce<double, double>(reduction, into, from, count);
    case Dtype::bf16: return reduce<kernels::Bf16, float>(reduction, into, from, count);
    case Dtype::f16: return reduce<kernels::F16, float>(reduction, into, from, count);
    case Dtype::i32: return reduce<std::int32_t, std::int32_t>(reduction, into, from, count);
  }
}

}  // namespace trireme::runtime
