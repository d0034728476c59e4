#pragma once

#include <cudnn_graph.h>

#include <cstddef>
#include <optional>
#include <string>

#include "kernels/check.h"

namespace trireme::kernels {

// What this program asks of cuDNN. No part of the CUDA toolkit, so nothing is linked with it: a
// machine without it goes on without it.
struct CudnnLibrary {
  decltype(&cudnnGetLastErrorString) describe_last_error = nullptr;
  decltype(&cudnnCreate) create = nullptr;
  decltype(&cudnnDestroy) destroy = nullptr;
  decltype(&cudnnSetStream) set_stream = nullptr;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor = nullptr;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor = nullptr;
  decltype(&cudnnBackendSetAttribute) set_attribute = nullptr;
  decltype(&cudnnBackendGetAttribute) get_attribute = nullptr;
  decltype(&cudnnBackendFinalize) finalize = nullptr;
  decltype(&cudnnBackendExecute) execute = nullptr;
  std::size_t version = 0;  // 91900: 9.19.0

  std::string version_text() const {
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
  }

  // Throws DeviceError, with what cuDNN says about it, on any status but success.
  void check(cudnnStatus_t status) const {
    if (status == CUDNN_STATUS_SUCCESS) return;
    std::string why(1024, '\0');
    describe_last_error(why.data(), why.size());
    throw DeviceError("cuDNN: status " + std::to_string(static_cast<int>(status)) + ": " +
                      why.c_str());
  }
};

// Nothing if this machine has none, or one that is too old. It stays loaded.
std::optional<CudnnLibrary> load_cudnn();

}  // namespace trireme::kernels
