#include "runtime/comm/host_sum.h"

namespace trireme::runtime {
namespace {

template <class Stored, class Real>
void add(void* into, const void* from, std::int64_t count) {
  auto* target = static_cast<Stored*>(into);
  const auto* source = static_cast<const Stored*>(from);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    target[i] = static_cast<Stored>(static_cast<Real>(target[i]) + static_cast<Real>(source[i]));
  }
}

}  // namespace

void add_on_host(kernels::Dtype dtype, void* into, const void* from, std::int64_t count) {
  using kernels::Dtype;
  switch (dtype) {
    case Dtype::f32: return add<float, float>(into, from, count);
    case Dtype::f64: return add<double, double>(into, from, count);
    case Dtype::bf16: return add<kernels::Bf16, float>(into, from, count);
    case Dtype::f16: return add<kernels::F16, float>(into, from, count);
    case Dtype::i32: return add<std::int32_t, std::int32_t>(into, from, count);
  }
}

}  // namespace trireme::runtime
