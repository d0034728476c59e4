#include <gtest/gtest.h>

#include <cstdio>

#include "tests/support/device.h"

namespace trireme::test {

std::unique_ptr<kernels::Backend> make_backend(int) { return kernels::make_cuda_backend(0); }

std::vector<Dtype> backend_dtypes() { return {Dtype::f32, Dtype::bf16, Dtype::f16}; }

}  // namespace trireme::test

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;  // SKIP_RETURN_CODE in tests/CMakeLists.txt
  trireme::kernels::prepare_cuda();
  if (trireme::kernels::cuda_devices() == 0) {
    std::puts("skipped: no CUDA device with a driver that answers");
    return kSkipped;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
