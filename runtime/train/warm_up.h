#pragma once

#include <cstdint>
#include <map>

#include "kernels/backend.h"
#include "runtime/model/rank_model.h"

namespace trireme::runtime {

// What the stages of a rank are given.
struct PassShape {
  std::int64_t tokens = 0;    // of a micro-batch
  kernels::Shape activation;  // of a message between stages
  kernels::Dtype dtype = kernels::Dtype::f32;
};

enum class Ways { the_first, the_fastest };  // of doing an operation: see Backend::try_ways

// One micro-batch of zeros forward and backward through every stage of this rank, so that all
// operations of the passes have been used when it returns: see Backend::first_use_waits. Leaves
// numbers of no meaning in the main gradients. Collective over the tensor-parallel ranks.
void warm_up(kernels::Backend& backend, kernels::Stream& compute, const RankModel& model,
             const std::map<int, models::LayerRange>& stages, const PassShape& shape, Ways ways);

}  // namespace trireme::runtime
