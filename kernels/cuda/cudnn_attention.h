#pragma once

#include <vector>

#include "kernels/cuda/cudnn_graph.h"
#include "kernels/ops.h"

namespace trireme::kernels {

// Whether cuDNN may be asked: bf16 or f16, head_dim a multiple of 8, addresses and strides
// multiples of 16 bytes, log_sum_exp without gaps, and a sequence that this version is known to do
// right. What else it cannot do, it has no plans for.
bool is_for(const CudnnLibrary& library, const Attention& op);
bool is_for(const CudnnLibrary& library, const AttentionBackward& op);

// Causal attention and its gradient as graphs for cuDNN, which makes one kernel of each.
CudnnGraph graph_of(const CudnnLibrary& library, const Attention& op);
CudnnGraph graph_of(const CudnnLibrary& library, const AttentionBackward& op);

// Bytes that a launch works with.
std::size_t workspace_bytes(const CudnnPlan& plan, const Attention& op);
std::size_t workspace_bytes(const CudnnPlan& plan, const AttentionBackward& op);

// `plan` is of the graph of an operation with the same sizes and strides.
void launch(const CudnnPlan& plan, cudnnHandle_t handle, const Attention& op, View workspace);
void launch(const CudnnPlan& plan, cudnnHandle_t handle, const AttentionBackward& op,
            View workspace);

}  // namespace trireme::kernels
