#include "schedules/generate.h"
#include "schedules/shape_rules.h"

namespace trireme::schedules {

Schedule gpipe(const PipelineShape& shape) {
  require_single_chunk(shape, "gpipe");
  Schedule schedule = empty_schedule("gpipe", Placement::loop(shape.ranks, 1), shape);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    auto& actions = schedule.ranks[static_cast<std::size_t>(rank)];
    for (const Pass pass : {Pass::forward, Pass::backward}) {
      for (int micro_batch = 0; micro_batch < shape.micro_batches; ++micro_batch) {
        actions.push_back({.pass = pass, .stage = rank, .micro_batch = micro_batch});
      }
    }
  }
  return schedule;
}

Schedule looped_bfs(const PipelineShape& shape) {
  require_shape(shape, "looped-bfs");
  Schedule schedule =
      empty_schedule("looped-bfs", Placement::loop(shape.ranks, shape.virtual_stages), shape);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    auto& actions = schedule.ranks[static_cast<std::size_t>(rank)];
    for (int stage = rank; stage < schedule.placement.stages; stage += shape.ranks) {
      for (int micro_batch = 0; micro_batch < shape.micro_batches; ++micro_batch) {
        actions.push_back({.pass = Pass::forward, .stage = stage, .micro_batch = micro_batch});
      }
    }
    // Last in, first out: the micro-batch that has just passed forward is at hand.
    for (std::size_t i = actions.size(); i-- > 0;) {
      Action back = actions[i];
      back.pass = Pass::backward;
      actions.push_back(back);
    }
  }
  return schedule;
}

}  // namespace trireme::schedules
