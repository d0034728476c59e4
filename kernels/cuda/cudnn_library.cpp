#include "kernels/cuda/cudnn_library.h"

#include <dlfcn.h>

namespace trireme::kernels {
namespace {

constexpr const char* kName = "libcudnn.so.9";
// Since then the backward pass of attention clears the sums it works with by itself.
constexpr std::size_t kOldest = 90600;

// NVIDIA's own frontend refuses the gradient of attention there.
constexpr bool is_broken(std::size_t version) { return version == 91000 || version == 91001; }

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

std::optional<CudnnLibrary> load_cudnn() {
  void* library = dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (!library) return std::nullopt;
  decltype(&cudnnGetVersion) get_version = nullptr;
  CudnnLibrary found;
  const bool has_all = find(library, "cudnnGetVersion", get_version) &&
                       find(library, "cudnnGetLastErrorString", found.describe_last_error) &&
                       find(library, "cudnnCreate", found.create) &&
                       find(library, "cudnnDestroy", found.destroy) &&
                       find(library, "cudnnSetStream", found.set_stream) &&
                       find(library, "cudnnBackendCreateDescriptor", found.create_descriptor) &&
                       find(library, "cudnnBackendDestroyDescriptor", found.destroy_descriptor) &&
                       find(library, "cudnnBackendSetAttribute", found.set_attribute) &&
                       find(library, "cudnnBackendGetAttribute", found.get_attribute) &&
                       find(library, "cudnnBackendFinalize", found.finalize) &&
                       find(library, "cudnnBackendExecute", found.execute);
  if (!has_all) return std::nullopt;
  found.version = get_version();
  if (found.version < kOldest || is_broken(found.version)) return std::nullopt;
  return found;
}

}  // namespace trireme::kernels
