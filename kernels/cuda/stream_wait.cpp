#include "kernels/cuda/stream_wait.h"

#include <cuda.h>

#include <string>

#include "kernels/cuda/cuda_check.h"

namespace trireme::kernels {
namespace {

// The driver's own function, asked for by name: the module is not linked with the driver, so that
// it can be loaded, and say so, where there is none.
decltype(&cuStreamWaitValue32) find_wait() {
  constexpr unsigned kVersion = 12000;  // whose signature is used here
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  check(cudaGetDriverEntryPointByVersion("cuStreamWaitValue32", &found, kVersion, cudaEnableDefault,
                                         &result));
  if (result != cudaDriverEntryPointSuccess) {
    throw DeviceError("this CUDA driver has no cuStreamWaitValue32");
  }
  return reinterpret_cast<decltype(&cuStreamWaitValue32)>(found);
}

}  // namespace

void wait_until_at_least(cudaStream_t stream, const std::uint32_t* address, std::uint32_t number) {
  static const auto wait = find_wait();
  // Pinned memory has the same address for host and device.
  const CUresult result =
      wait(stream, reinterpret_cast<CUdeviceptr>(address), number, CU_STREAM_WAIT_VALUE_GEQ);
  if (result != CUDA_SUCCESS) {
    throw DeviceError("cuStreamWaitValue32 failed with code " +
                      std::to_string(static_cast<int>(result)));
  }
}

}  // namespace trireme::kernels
