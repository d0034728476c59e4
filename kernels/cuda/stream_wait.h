#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace trireme::kernels {

// The stream goes on once the number at `address`, in pinned memory of the host, is at least
// `number`, counting around. The GPU looks by itself: a callback would keep others waiting.
void wait_until_at_least(cudaStream_t stream, const std::uint32_t* address, std::uint32_t number);

}  // namespace trireme::kernels
