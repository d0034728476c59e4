#pragma once

#include <cuda_runtime.h>

#include "kernels/ops.h"

namespace trireme::kernels {

// Every operation but matrix products, one launcher each. f32, bf16 and f16; sums in f32, in an
// order that does not change from run to run.
void launch(cudaStream_t stream, const Fill& op);
void launch(cudaStream_t stream, const Convert& op);
void launch(cudaStream_t stream, const Add& op);
void launch(cudaStream_t stream, const ColumnSum& op);
void launch(cudaStream_t stream, const RmsNorm& op);
void launch(cudaStream_t stream, const RmsNormBackward& op);
void launch(cudaStream_t stream, const LayerNorm& op);
void launch(cudaStream_t stream, const LayerNormBackward& op);
void launch(cudaStream_t stream, const Rope& op);
void launch(cudaStream_t stream, const Attention& op);
void launch(cudaStream_t stream, const AttentionBackward& op);
void launch(cudaStream_t stream, const SwiGlu& op);
void launch(cudaStream_t stream, const SwiGluBackward& op);
void launch(cudaStream_t stream, const Gelu& op);
void launch(cudaStream_t stream, const GeluBackward& op);
void launch(cudaStream_t stream, const Embedding& op);
void launch(cudaStream_t stream, const EmbeddingBackward& op);
void launch(cudaStream_t stream, const CrossEntropyStatistics& op);
void launch(cudaStream_t stream, const MergeStatistics& op);
void launch(cudaStream_t stream, const CrossEntropy& op);
void launch(cudaStream_t stream, const SquaredNorm& op);
void launch(cudaStream_t stream, const AdamW& op);

}  // namespace trireme::kernels
