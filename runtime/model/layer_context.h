#pragma once

#include <string>

#include "kernels/backend.h"
#include "models/shape.h"
#include "runtime/model/parameter_buffers.h"
#include "runtime/model/rope_table.h"
#include "runtime/model/tensor_parallel.h"

namespace trireme::runtime {

// What every layer of a stage is made from. All of it is borrowed.
struct LayerContext {
  kernels::Backend& backend;
  const ParameterBuffers& buffers;  // this rank's slices
  const models::Shape& shape;       // of the whole model
  TensorParallel& ranks;
  const RopeTable* rope;  // nothing for learned positions
  std::int64_t sequence;

  // A bias, or the like, of what is a sum over ranks: the first rank adds it, for the others it is
  // nothing.
  Weight added_to_sum(const std::string& name) const {
    return ranks.rank() == 0 ? buffers.find(name) : Weight();
  }
};

}  // namespace trireme::runtime
