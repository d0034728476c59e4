#pragma once

#include "kernels/backend.h"
#include "models/shape.h"

namespace trireme::runtime {

// Cosines and sines of every position of a sequence, shared by all layers.
class RopeTable {
 public:
  // Tables for `positions` positions, in the accumulator dtype of `dtype`. Done on return.
  RopeTable(kernels::Backend& backend, kernels::Stream& stream, const models::Shape& shape,
            std::int64_t positions, kernels::Dtype dtype);

  kernels::View cos() const { return cos_; }  // (positions, head_dim / 2)
  kernels::View sin() const { return sin_; }

 private:
  kernels::Tensor cos_, sin_;
};

}  // namespace trireme::runtime
