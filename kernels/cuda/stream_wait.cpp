#include "kernels/cuda/stream_wait.h"

#include "kernels/cuda/driver.h"

namespace trireme::kernels {

void wait_until_at_least(cudaStream_t stream, const std::uint32_t* address, std::uint32_t number) {
  static const auto wait = driver_function<decltype(&cuStreamWaitValue32)>("cuStreamWaitValue32");
  // Pinned memory has the same address for host and device.
  check_driver(
      wait(stream, reinterpret_cast<CUdeviceptr>(address), number, CU_STREAM_WAIT_VALUE_GEQ),
      "cuStreamWaitValue32");
}

}  // namespace trireme::kernels
