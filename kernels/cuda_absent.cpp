#include "kernels/backend.h"

namespace trireme::kernels {

int cuda_devices() { return 0; }

std::unique_ptr<Backend> make_cuda_backend(int) {
  throw DeviceError("this build has no CUDA backend; configure with -DWITH_CUDA=ON");
}

}  // namespace trireme::kernels
