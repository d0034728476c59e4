#pragma once

#include <cstdint>
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

// What a micro-batch costs a unit of each kind, in any unit of cost.
struct UnitCosts {
  double embedding = 0;
  double layer = 0;
  double head = 0;

  double of(const LayerRange& stage) const {
    return (stage.embedding ? embedding : 0) + stage.count * layer + (stage.head ? head : 0);
  }
};

// FLOPs of a token, forward; looking a row up costs none.
UnitCosts unit_flops(const Shape& shape, std::int64_t sequence_length);

// Shares the layers out over the stages, at least one each, so that the costliest stage costs as
// little as can be, counting the embedding with the first and the head with the last; among such
// splits, the most even one. Throws ModelError if there are more stages than layers.
std::vector<LayerRange> split_layers(const Shape& shape, int stages, const UnitCosts& costs);

// As the user lists them, one number per stage. Throws ModelError unless they add up to the layers
// of the model and none is negative.
std::vector<LayerRange> layers_as_listed(const Shape& shape, const std::vector<int>& counts);

// The units of a stage: see Parameter::unit.
std::vector<int> units_of(const Shape& shape, const LayerRange& layers);

}  // namespace trireme::models
