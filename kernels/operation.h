#pragma once

#include <variant>

#include "kernels/ops.h"

namespace trireme::kernels {

// Any of the operations a backend runs. A new one is added here and to each backend.
using Operation =
    std::variant<Fill, Convert, Add, Matmul, ColumnSum, RmsNorm, RmsNormBackward, LayerNorm,
                 LayerNormBackward, Rope, Attention, AttentionBackward, SwiGlu, SwiGluBackward,
                 Gelu, GeluBackward, Embedding, EmbeddingBackward, CrossEntropyStatistics,
                 MergeStatistics, CrossEntropy, SquaredNorm, AdamW>;

}  // namespace trireme::kernels
