#include "runtime/train/pass_costs.h"

namespace trireme::runtime {

using models::UnitCosts;

UnitCosts PassCosts::whole() const {
  const auto sum = [this](double UnitCosts::*unit) {
    return forward.*unit + backward_input.*unit + backward_weight.*unit;
  };
  return {.embedding = sum(&UnitCosts::embedding),
          .layer = sum(&UnitCosts::layer),
          .head = sum(&UnitCosts::head)};
}

schedules::Costs PassCosts::of(const std::vector<models::LayerRange>& stages, int ranks) const {
  double share = 0;
  for (const auto& stage : stages) share += forward.of(stage) / ranks;
  schedules::Costs costs;
  for (const auto& stage : stages) {
    costs.stages.push_back({.forward = forward.of(stage) / share,
                            .backward_input = backward_input.of(stage) / share,
                            .backward_weight = backward_weight.of(stage) / share,
                            .recompute = forward.of(stage) / share});
  }
  costs.communication = message / share;
  return costs;
}

PassCosts pass_flops(const models::Shape& shape, std::int64_t sequence_length) {
  const UnitCosts flops = models::unit_flops(shape, sequence_length);
  return {.forward = flops, .backward_input = flops, .backward_weight = flops};
}

}  // namespace trireme::runtime
