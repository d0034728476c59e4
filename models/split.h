#pragma once

#include <vector>

#include "models/shape.h"

namespace trireme::models {

// Which layers a pipeline stage has.
struct LayerRange {
  int first = 0;
  int count = 0;
  bool embedding = false;
  bool head = false;
};

// Shares the layers out over the stages, at least one each, so that the costliest stage costs as
// little as can be, counting the head with the last; among such splits, the most even one. Costs
// are the FLOPs of a token. Throws ModelError if there are more stages than layers.
std::vector<LayerRange> split_layers(const Shape& shape, int stages, std::int64_t sequence_length);

// As the user lists them, one number per stage. Throws ModelError unless they add up to the layers
// of the model and none is negative.
std::vector<LayerRange> layers_as_listed(const Shape& shape, const std::vector<int>& counts);

// The cost of each stage in FLOPs of a token, forward.
std::vector<double> stage_flops(const Shape& shape, const std::vector<LayerRange>& stages,
                                std::int64_t sequence_length);

// The units of a stage: see Parameter::unit.
std::vector<int> units_of(const Shape& shape, const LayerRange& layers);

}  // namespace trireme::models
