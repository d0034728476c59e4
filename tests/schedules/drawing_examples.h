#pragma once

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "schedules/generate.h"
#include "schedules/simulate.h"

// Schedules in time, for tests to draw.
namespace trireme::schedules {

struct Example {
  std::string name;
  Schedule schedule;
  Costs costs;
  Timeline timeline;
};

inline Example example(const std::string& name, Schedule schedule,
                       const StageCost& share = {1, 1.3, 0.7, 1}, double communication = 0.2) {
  const Costs costs = Costs::even(schedule.placement, share, communication);
  const Timeline timeline = simulate(schedule, costs);
  return {name, std::move(schedule), costs, timeline};
}

// Every backward pass recomputes its forward pass first.
inline Schedule with_recomputation(Schedule schedule) {
  for (auto& actions : schedule.ranks) {
    std::vector<Action> longer;
    for (const Action& action : actions) {
      if (action.gives_gradient()) {
        longer.push_back(
            {.pass = Pass::recompute, .stage = action.stage, .micro_batch = action.micro_batch});
      }
      longer.push_back(action);
    }
    actions = longer;
  }
  return schedule;
}

inline std::vector<Example> examples() {
  const PipelineShape shape{.ranks = 4, .micro_batches = 8};
  const PipelineShape two_chunks{.ranks = 4, .micro_batches = 8, .virtual_stages = 2};
  return {example("gpipe", gpipe(shape)),
          example("zb_h1", zb_h1({.ranks = 3, .micro_batches = 12})),
          example("interleaved_zb", interleaved_zb({4, 8, 4})),
          example("zb_v", zb_v(two_chunks), {}, 0),
          example("dual_pipe", dual_pipe(shape)),
          example("dual_pipe_v", dual_pipe_v(two_chunks)),
          example("recompute", with_recomputation(one_f_one_b(shape)))};
}

inline std::multiset<std::string> all_actions(const Schedule& schedule) {
  std::multiset<std::string> texts;
  for (const auto& actions : schedule.ranks) {
    for (const Action& action : actions) texts.insert(to_text(action));
  }
  return texts;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace trireme::schedules
