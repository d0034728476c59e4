#include <algorithm>

#include "tests/support/device.h"

namespace trireme::test {

std::unique_ptr<kernels::Backend> make_backend(int threads) {
  return kernels::make_cpu_backend({.threads = std::min(threads, kernels::cpu_thread_limit())});
}

std::vector<Dtype> backend_dtypes() { return {Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::f16}; }

}  // namespace trireme::test
