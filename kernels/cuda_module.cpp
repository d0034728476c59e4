#include <dlfcn.h>

#include <filesystem>

#include "kernels/backend.h"

namespace trireme::kernels {
namespace {

// The module lies beside the program, or is found like any library. It stays loaded.
void* load_module(std::string& why) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto beside = program.parent_path() / "libtrireme_cuda.so";
  for (const std::string& path : {beside.string(), std::string("libtrireme_cuda.so")}) {
    if (void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return module;
    why = dlerror();
  }
  return nullptr;
}

template <class Function>
Function find(const char* symbol, std::string& why) {
  static std::string failure;
  static void* const module = load_module(failure);
  why = failure;
  return module ? reinterpret_cast<Function>(dlsym(module, symbol)) : nullptr;
}

}  // namespace

int cuda_devices() {
  std::string why;
  const auto count = find<int (*)()>("trireme_count_cuda_devices", why);
  return count ? count() : 0;
}

std::unique_ptr<Backend> make_cuda_backend(int device) {
  std::string why;
  const auto make = find<Backend* (*)(int)>("trireme_make_cuda_backend", why);
  if (!make) throw DeviceError("the CUDA module cannot be loaded: " + why);
  if (device >= cuda_devices()) {
    throw DeviceError("there is no CUDA device " + std::to_string(device) + ": " +
                      std::to_string(cuda_devices()) + " found, with a driver that answers");
  }
  return std::unique_ptr<Backend>(make(device));
}

}  // namespace trireme::kernels
