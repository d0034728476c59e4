#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "schedules/generate.h"
#include "schedules/simulate.h"

// Figures of other implementations: the action lists that their public code makes, in an
// independent simulation.
namespace trireme::schedules {

inline nlohmann::json golden(const std::string& file) {
  std::ifstream stream(std::string(GOLDEN_FOLDER) + "/" + file);
  return nlohmann::json::parse(stream);
}

// The costs that a name stands for: of a rank's share, plus what the first stage (an embedding) and
// the last (an output projection) take beyond theirs.
inline Costs golden_costs(const nlohmann::json& all, const std::string& name,
                          const Placement& placement) {
  const auto figures = all.at(name).get<std::vector<double>>();
  const StageCost share{
      .forward = figures[0], .backward_input = figures[1], .backward_weight = figures[2]};
  Costs costs = Costs::even(placement, share, figures[3]);
  costs.overlap = figures[6];
  const auto add = [&](StageCost& stage, double extra) {
    stage.forward += extra * share.forward;
    stage.backward_input += extra * share.backward_input;
    stage.backward_weight += extra * share.backward_weight;
  };
  add(costs.stages.front(), figures[4]);
  add(costs.stages.back(), figures[5]);
  return costs;
}

inline PipelineShape golden_shape(const nlohmann::json& one) {
  return {.ranks = one.at("p"),
          .micro_batches = one.at("m"),
          .virtual_stages = one.at("v"),
          .group_size = one.value("group", 0)};
}

}  // namespace trireme::schedules
