#include "kernels/backend.h"

namespace trireme::kernels {

void prepare_cuda() {}

int cuda_devices() { return 0; }

std::string cuda_problem() { return ""; }

std::string cuda_device_identity(int) { return ""; }

std::unique_ptr<Backend> make_cuda_backend(int) {
  throw DeviceError("this build has no CUDA backend; configure with -DWITH_CUDA=ON");
}

}  // namespace trireme::kernels
