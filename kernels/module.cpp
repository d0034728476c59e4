#include "kernels/module.h"

#include <dlfcn.h>

#include <filesystem>

namespace trireme::kernels {

Module::Module(const std::string& file) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  for (const std::string& path : {(program.parent_path() / file).string(), file}) {
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_) break;
    // The first attempt says what a module that is there lacks.
    if (problem_.empty() || std::filesystem::exists(path, error)) problem_ = dlerror();
  }
  if (handle_) problem_.clear();
}

void* Module::address(const char* symbol) const {
  return handle_ ? dlsym(handle_, symbol) : nullptr;
}

}  // namespace trireme::kernels
