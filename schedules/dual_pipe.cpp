#include <deque>

#include "schedules/generate.h"
#include "schedules/rank_writer.h"
#include "schedules/shape_rules.h"

namespace trireme::schedules {
namespace {

// Where a rank stands in one arm of the pattern.
struct Place {
  int depth;          // ranks of the arm
  int position;       // 0 is the end where micro-batches enter `near` and leave `far`
  int micro_batches;  // that pass each of the two stages
  int near;
  int far;
  int near_first;  // first micro-batch of `near`
  int far_first;
};

// Weight gradients that were put off, in the order of their backward passes.
class DeferredWeights {
 public:
  explicit DeferredWeights(RankWriter& writer) : writer_(writer) {}

  void backward_input(int stage) {
    writer_.backward_input(stage);
    stages_.push_back(stage);
  }

  void backward(int stage, bool defer) {
    if (defer) {
      backward_input(stage);
    } else {
      writer_.backward(stage);
    }
  }

  void weight() {
    if (stages_.empty()) return;
    writer_.backward_weight(stages_.front());
    stages_.pop_front();
  }

 private:
  RankWriter& writer_;
  std::deque<int> stages_;
};

// The eight steps of DualPipe's rank program.
std::vector<Action> rank_actions(const Place& place) {
  const auto [depth, position, micro_batches, near, far, near_first, far_first] = place;
  const int inner = depth - 1 - position;
  RankWriter writer;
  writer.starts_at(near, near_first);
  writer.starts_at(far, far_first);
  DeferredWeights weights(writer);
  for (int i = 0; i < 2 * inner; ++i) writer.forward(near);
  for (int i = 0; i < position + 1; ++i) {
    writer.forward(near);
    writer.forward(far);
  }
  for (int i = 0; i < inner; ++i) {
    weights.backward_input(far);
    weights.weight();
    writer.forward(far);
  }
  for (int i = 0; i < micro_batches - 2 * depth + position + 1; ++i) {
    if (i == 0 && inner == 0) {  // at the turn, apart: the backward pass need not wait
      writer.forward(near);
      writer.backward(far);
    } else {
      writer.overlapped(near, far);
    }
    writer.overlapped(far, near);
  }
  for (int i = 0; i < inner; ++i) {
    writer.backward(far);
    writer.overlapped(far, near);
  }
  // From the middle of the last backward passes on, weight gradients wait for the bubble.
  for (int i = 0; i < position + 1; ++i) {
    const int middle = (position + 1) / 2;
    weights.backward(far, i > middle || (i == middle && position % 2 == 1));
    weights.backward(near, i >= middle);
  }
  for (int i = 0; i < inner; ++i) {
    weights.weight();
    weights.backward_input(near);
  }
  for (int i = 0; i < position + 1; ++i) weights.weight();
  return writer.take();
}

}  // namespace

Schedule dual_pipe(const PipelineShape& shape) {
  require_single_chunk(shape, "dualpipe");
  const auto [ranks, micro_batches, virtual_stages, group_size] = shape;
  if (ranks % 2 != 0 || micro_batches % 2 != 0 || micro_batches < 2 * ranks) {
    throw ScheduleError(
        "dualpipe needs an even number of ranks and an even number of "
        "micro-batches, at least twice the ranks; got " +
        std::to_string(ranks) + " ranks and " + std::to_string(micro_batches) + " micro-batches");
  }
  Schedule schedule = empty_schedule("dualpipe", Placement::bidirectional(ranks), shape);
  for (int rank = 0; rank < ranks; ++rank) {
    const bool first_half = rank < ranks / 2;
    const int position = first_half ? rank : ranks - 1 - rank;
    schedule.ranks[static_cast<std::size_t>(rank)] =
        rank_actions({.depth = ranks / 2,
                      .position = position,
                      .micro_batches = micro_batches / 2,
                      .near = position,
                      .far = ranks - 1 - position,
                      .near_first = first_half ? 0 : micro_batches / 2,
                      .far_first = first_half ? micro_batches / 2 : 0});
  }
  return schedule;
}

Schedule dual_pipe_v(const PipelineShape& shape) {
  require_two_chunks(shape, "dualpipe-v");
  if (shape.micro_batches < 2 * shape.ranks) {
    throw ScheduleError("dualpipe-v needs at least twice as many micro-batches as ranks, " +
                        std::to_string(2 * shape.ranks) + " for " + std::to_string(shape.ranks) +
                        " ranks; got " + std::to_string(shape.micro_batches));
  }
  Schedule schedule = empty_schedule("dualpipe-v", Placement::v(shape.ranks), shape);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    schedule.ranks[static_cast<std::size_t>(rank)] =
        rank_actions({.depth = shape.ranks,
                      .position = rank,
                      .micro_batches = shape.micro_batches,
                      .near = rank,
                      .far = 2 * shape.ranks - 1 - rank,
                      .near_first = 0,
                      .far_first = 0});
  }
  return schedule;
}

}  // namespace trireme::schedules
