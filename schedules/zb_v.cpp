#include <algorithm>

#include "schedules/generate.h"
#include "schedules/rank_writer.h"
#include "schedules/shape_rules.h"

namespace trireme::schedules {
namespace {

// Figure 7 of the zero-bubble paper: `out` is the rank's stage on the way out, `home` the one on
// the way back.
std::vector<Action> rank_actions(int ranks, int micro_batches, int rank) {
  const int out = rank, home = 2 * ranks - 1 - rank;
  RankWriter writer;
  const auto whole_backward = [&](int stage) {
    writer.backward_input(stage);
    writer.backward_weight(stage);
  };
  for (int i = 0; i < 2 * (ranks - rank) - 1; ++i) writer.forward(out);
  for (int i = 0; i < rank; ++i) {
    writer.forward(home);
    writer.forward(out);
  }
  for (int i = 0; i < ranks - rank; ++i) {
    writer.forward(home);
    whole_backward(home);
  }
  while (writer.count(Pass::forward, home) < micro_batches) {
    if (writer.count(Pass::forward, out) < micro_batches) writer.forward(out);
    whole_backward(out);
    writer.forward(home);
    whole_backward(home);
  }
  for (int i = 0; i < rank; ++i) {
    writer.backward_input(out);
    writer.backward_input(home);
  }
  for (int i = 0; i < ranks - rank; ++i) {
    writer.backward_input(out);
    writer.backward_weight(out);
  }
  for (const int stage : {home, out}) {
    while (writer.count(Pass::backward_weight, stage) < micro_batches) {
      writer.backward_weight(stage);
    }
  }
  return writer.take();
}

}  // namespace

Schedule zb_v(const PipelineShape& shape) {
  require_two_chunks(shape, "zb-v");
  Schedule schedule = empty_schedule("zb-v", Placement::v(shape.ranks), shape);
  // The pattern needs 2p - 1 micro-batches; fewer are the pattern without the others.
  const int enough = std::max(shape.micro_batches, 2 * shape.ranks - 1);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    auto& actions = schedule.ranks[static_cast<std::size_t>(rank)];
    actions = rank_actions(shape.ranks, enough, rank);
    std::erase_if(actions,
                  [&](const Action& action) { return action.micro_batch >= shape.micro_batches; });
  }
  return schedule;
}

}  // namespace trireme::schedules
