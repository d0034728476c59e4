#pragma once

#include <vector>

#include "models/split.h"
#include "schedules/simulate.h"

namespace trireme::runtime {

// What one micro-batch costs units and messages: what stages are cut and schedules are made by.
struct PassCosts {
  models::UnitCosts forward, backward_input, backward_weight;
  double message = 0;  // from one pipeline rank to the next

  models::UnitCosts whole() const;

  // In units of a forward pass through the average rank's share of the model.
  schedules::Costs of(const std::vector<models::LayerRange>& stages, int ranks) const;
};

// FLOPs of a token: every pass costs the same, and messages nothing.
PassCosts pass_flops(const models::Shape& shape, std::int64_t sequence_length);

}  // namespace trireme::runtime
