#include <array>
#include <cstdlib>

#include "kernels/backend.h"
#include "kernels/module.h"

namespace trireme::kernels {
namespace {

const Module& module() {
  static const Module loaded("libtrireme_cuda.so");
  return loaded;
}

}  // namespace

// Streams here wait for other ranks, and for the host. What the driver does by default to save time
// and memory then makes ranks wait for each other for ever: code that is loaded when a kernel is
// first launched waits for all that the device has been given, and streams that share a hardware
// queue, of which it makes 8, wait for each other. So nobody's setting is left as it is.
void prepare_cuda() {
  setenv("CUDA_MODULE_LOADING", "EAGER", 1);
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1);
}

int cuda_devices() {
  const auto count = module().find<int (*)()>("trireme_count_cuda_devices");
  return count ? count() : 0;
}

std::string cuda_problem() {
  if (!module().problem().empty()) return module().problem();
  const auto problem = module().find<void (*)(char*, int)>("trireme_cuda_problem");
  std::array<char, 256> text = {};
  if (problem) problem(text.data(), static_cast<int>(text.size()));
  return text.data();
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
    throw DeviceError(
        "there is no CUDA device " + std::to_string(device) + ": " +
        (cuda_devices() > 0 ? std::to_string(cuda_devices()) + " found" : cuda_problem()));
  }
  return std::unique_ptr<Backend>(make(device));
}

}  // namespace trireme::kernels
