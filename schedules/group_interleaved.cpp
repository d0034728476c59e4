#include <algorithm>
#include <tuple>

#include "schedules/generate.h"
#include "schedules/shape_rules.h"

namespace trireme::schedules {
namespace {

// Every micro-batch of a chunk takes three slots of a rank, one forward and two backward. The
// chunks of a group follow each other without a gap, and so do the groups; a rank is one slot
// behind the one before it, forward, and two slots ahead of it, backward.
std::vector<Action> rank_actions(const PipelineShape& shape, int group, int rank) {
  struct Placed {
    int slot;
    Action action;
  };
  const int chunk_slots = 3 * group, group_slots = chunk_slots * shape.virtual_stages;
  const int to_last_rank = shape.ranks - 1 - rank;
  const int first_backward = chunk_slots * (shape.virtual_stages - 1) + rank + 3 * to_last_rank + 1;
  std::vector<Placed> placed;
  for (int micro_batch = 0; micro_batch < shape.micro_batches; ++micro_batch) {
    const int start = micro_batch / group * group_slots + micro_batch % group * 3;
    for (int chunk = 0; chunk < shape.virtual_stages; ++chunk) {
      const int back = shape.virtual_stages - 1 - chunk;
      placed.push_back({start + chunk * chunk_slots + rank,
                        {.pass = Pass::forward,
                         .stage = chunk * shape.ranks + rank,
                         .micro_batch = micro_batch}});
      placed.push_back({start + chunk * chunk_slots + first_backward,
                        {.pass = Pass::backward,
                         .stage = back * shape.ranks + rank,
                         .micro_batch = micro_batch}});
    }
  }
  std::sort(placed.begin(), placed.end(),
            [](const Placed& a, const Placed& b) { return a.slot < b.slot; });
  std::vector<Action> actions;
  for (const Placed& one : placed) actions.push_back(one.action);
  return actions;
}

}  // namespace

Schedule group_interleaved(const PipelineShape& shape) {
  require_shape(shape, "group-interleaved");
  const int smallest = (shape.ranks + 1) / 2;
  const int group = shape.group_size > 0 ? shape.group_size : shape.ranks;
  if (group < smallest || group > shape.ranks) {
    throw ScheduleError("group size " + std::to_string(group) + ": group-interleaved on " +
                        std::to_string(shape.ranks) + " ranks takes " + std::to_string(smallest) +
                        " to " + std::to_string(shape.ranks));
  }
  Schedule schedule = empty_schedule("group-interleaved",
                                     Placement::loop(shape.ranks, shape.virtual_stages), shape);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    schedule.ranks[static_cast<std::size_t>(rank)] = rank_actions(shape, group, rank);
  }
  return schedule;
}

}  // namespace trireme::schedules
