#include <filesystem>

#include "kernels/backend.h"

namespace trireme::kernels {

void prepare_cuda() {}

int cuda_devices() { return 0; }

// Who has a GPU and took this build would wonder.
std::string cuda_problem() {
  std::error_code unknown;
  const bool has_driver = std::filesystem::exists("/dev/nvidiactl", unknown);
  return has_driver ? "this program was built without it (cmake --preset cuda)" : "";
}

std::string cuda_device_identity(int) { return ""; }

std::unique_ptr<Backend> make_cuda_backend(int) {
  throw DeviceError("this build has no CUDA backend; configure with -DWITH_CUDA=ON");
}

}  // namespace trireme::kernels
