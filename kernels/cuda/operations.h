#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/queue.h"
#include "kernels/ops.h"

namespace trireme::kernels {

// Every operation but matrix products, one launcher each; a Queue where it works with memory of its
// own. f32, bf16 and f16; sums in f32, in an order that does not change from run to run.
void launch(cudaStream_t stream, const Fill& op);
void launch(cudaStream_t stream, const Convert& op);
void launch(cudaStream_t stream, const Add& op);
void launch(const Queue& queue, const ColumnSum& op);
void launch(cudaStream_t stream, const RmsNorm& op);
void launch(const Queue& queue, const RmsNormBackward& op);
void launch(cudaStream_t stream, const LayerNorm& op);
void launch(const Queue& queue, const LayerNormBackward& op);
void launch(cudaStream_t stream, const Rope& op);
void launch(cudaStream_t stream, const Attention& op);
void launch(const Queue& queue, const AttentionBackward& op);
void launch(cudaStream_t stream, const SwiGlu& op);
void launch(cudaStream_t stream, const SwiGluBackward& op);
void launch(cudaStream_t stream, const Gelu& op);
void launch(cudaStream_t stream, const GeluBackward& op);
void launch(cudaStream_t stream, const Embedding& op);
void launch(const Queue& queue, const EmbeddingBackward& op);
void launch(cudaStream_t stream, const CrossEntropyStatistics& op);
void launch(cudaStream_t stream, const MergeStatistics& op);
void launch(const Queue& queue, const CrossEntropy& op);
void launch(const Queue& queue, const SquaredNorm& op);
void launch(cudaStream_t stream, const AdamW& op);

}  // namespace trireme::kernels
