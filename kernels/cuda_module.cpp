#include <array>

#include "kernels/backend.h"
#include "kernels/module.h"

namespace trireme::kernels {
namespace {

const Module& module() {
  static const Module loaded("libtrireme_cuda.so");
  return loaded;
}

}  // namespace

int cuda_devices() {
  const auto count = module().find<int (*)()>("trireme_count_cuda_devices");
  return count ? count() : 0;
}

std::string cuda_problem() {
  if (!module().problem().empty()) return module().problem();
  return cuda_devices() > 0 ? "" : "no driver answers, or it has no device";
}

std::string cuda_device_identity(int device) {
  const auto identify = module().find<void (*)(int, char*, int)>("trireme_identify_cuda_device");
  std::array<char, 64> identity = {};
  if (identify) identify(device, identity.data(), static_cast<int>(identity.size()));
  return identity.data();
}

std::unique_ptr<Backend> make_cuda_backend(int device) {
  const auto make = module().find<Backend* (*)(int)>("trireme_make_cuda_backend");
  if (!make) throw DeviceError("the CUDA module cannot be loaded: " + module().problem());
  if (device >= cuda_devices()) {
    throw DeviceError("there is no CUDA device " + std::to_string(device) + ": " +
                      std::to_string(cuda_devices()) + " found, with a driver that answers");
  }
  return std::unique_ptr<Backend>(make(device));
}

}  // namespace trireme::kernels
