#pragma once

#include <string_view>

namespace trireme::kernels {

// Dense FLOP/s of bf16 and fp16 with sums in fp32, as NVIDIA's data sheet has them for the GPU that
// CUDA calls `name`: at the clock that such work runs with, which is below the highest. What other
// programs divide by, too. 0 for a GPU that is not listed.
double published_tensor_flops(std::string_view name);

}  // namespace trireme::kernels
