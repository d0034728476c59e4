#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "schedules/check.h"
#include "schedules/search.h"
#include "tests/schedules/golden.h"

// The best that other schedulers are known to reach: searched schedules have to reach it too.
namespace trireme::schedules {

struct Target {
  std::string name = {};
  Placement placement = {};
  int micro_batches = 0;
  Costs costs = {};
  double limit = 0;  // on every rank
  double weight_fraction = 1;
  double makespan = 0;
  double span = 0;
  bool least_makespan = false;  // proven
  bool least_span = false;      // proven

  double best(Objective objective) const {
    return objective == Objective::makespan ? makespan : span;
  }
  bool is_least(Objective objective) const {
    return objective == Objective::makespan ? least_makespan : least_span;
  }
};

// Schedules of the same stages that people would start from.
inline std::vector<Schedule> seeds_for(const Target& target) {
  const PipelineShape shape{.ranks = target.placement.ranks,
                            .micro_batches = target.micro_batches,
                            .virtual_stages = target.placement.stages / target.placement.ranks};
  if (target.placement.kind == PlacementKind::v) {
    return {zb_v(shape), v_half(shape), v_min(shape), one_f_one_b_v(shape)};
  }
  if (shape.virtual_stages == 1) return {zb_h1(shape), zb_h2(shape)};
  return {interleaved_zb(shape), interleaved_zb_h2(shape), interleaved(shape)};
}

inline std::vector<Target> targets_of(const nlohmann::json& shape) {
  const auto costs = golden("schedule_costs.json");
  const std::string kind = shape.at("placement");
  const int ranks = shape.at("p"), micro_batches = shape.at("m"), virtual_stages = shape.at("v");
  const Placement placement =
      kind == "v" ? Placement::v(ranks, virtual_stages) : Placement::loop(ranks, virtual_stages);
  std::vector<Target> targets;
  for (const auto& row : shape.at("targets")) {
    Target target{.name = kind + ", " + std::to_string(ranks) + " ranks, " +
                          std::to_string(micro_batches) + " micro-batches, " +
                          std::to_string(virtual_stages) + " chunks: " + row.dump(),
                  .placement = placement,
                  .micro_batches = micro_batches,
                  .costs = golden_costs(costs, row[0], placement),
                  .limit = row[1],
                  .weight_fraction = row[2],
                  .makespan = row[3],
                  .span = row[4]};
    for (std::size_t i = 5; i < row.size(); ++i) {
      (row[i] == "makespan" ? target.least_makespan : target.least_span) = true;
    }
    targets.push_back(target);
  }
  return targets;
}

inline void expect_reached(const Target& target, Objective objective, double effort) {
  SCOPED_TRACE(target.name + (objective == Objective::makespan ? ", makespan" : ", span"));
  const Schedule found = search_schedule(target.placement, target.micro_batches, target.costs,
                                         {.objective = objective,
                                          .memory_limit = {target.limit},
                                          .weight_fraction = target.weight_fraction,
                                          .effort = effort},
                                         seeds_for(target));
  ASSERT_EQ(problems_of(found), std::vector<std::string>{});
  const std::vector<double> limits(found.ranks.size(), target.limit);
  EXPECT_EQ(memory_problems(found, limits, {.weight_fraction = target.weight_fraction}),
            std::vector<std::string>{});
  const double reached = objective_of(simulate(found, target.costs), objective);
  const double best = target.best(objective);
  EXPECT_LE(reached, best * (1 + 1e-9)) << 100 * (reached / best - 1) << " % above";
  if (target.is_least(objective)) {
    EXPECT_GE(reached, best * (1 - 1e-9));
  }
}

}  // namespace trireme::schedules
