#pragma once

#include <cuda_runtime.h>

#include "kernels/ops.h"

namespace trireme::kernels {

// Attention of 16-bit numbers on tensor cores, tile by tile, the same bits every time. Dao 2023,
// https://arxiv.org/abs/2307.08691, with a pass of its own for the gradient of the queries in place
// of atomic additions. False if the operands are not suited: head_dim of at most 128 and, like
// strides and addresses, a multiple of 16 bytes.
bool attend_in_tiles(cudaStream_t stream, const Attention& op);
// `out_dot` is (sequences * heads, sequence): out . d_out.
bool differentiate_in_tiles(cudaStream_t stream, const AttentionBackward& op, const float* out_dot);

}  // namespace trireme::kernels
