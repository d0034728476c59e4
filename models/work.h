#pragma once

#include "models/shape.h"

namespace trireme::models {

// Floating-point operations of one training step per token, forward and backward, without
// recomputation. Attention is counted causally, each query with the keys it sees on average, or in
// full, as if it saw every key; published MFU figures use either.
struct FlopsPerToken {
  double causal = 0;
  double full = 0;
};

FlopsPerToken training_flops(const Shape& shape, std::int64_t sequence_length);

}  // namespace trireme::models
