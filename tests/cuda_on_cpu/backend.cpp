#include <memory>

#include "tests/support/device.h"

extern "C" trireme::kernels::Backend* trireme_make_cuda_backend(int device);

namespace trireme::test {

std::unique_ptr<kernels::Backend> make_backend(int) {
  return std::unique_ptr<kernels::Backend>(trireme_make_cuda_backend(0));
}

std::vector<Dtype> backend_dtypes() { return {Dtype::f32, Dtype::bf16, Dtype::f16}; }

}  // namespace trireme::test
