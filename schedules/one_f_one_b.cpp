#include <algorithm>
#include <vector>

#include "schedules/generate.h"
#include "schedules/shape_rules.h"

namespace trireme::schedules {
namespace {

// What tells the schedules of this family apart.
struct Rhythm {
  int warm_up_per_hop = 1;      // forward passes by which a rank is ahead of the next one
  bool split = false;           // backward in halves
  int weight_lag_per_rank = 0;  // backward passes by which a weight gradient trails, times the rank
};

// Sizes of the groups in which micro-batches pass a chunk: as asked, or as equal as they can be
// and at least one for every rank.
std::vector<int> group_sizes(const PipelineShape& shape) {
  std::vector<int> sizes;
  if (shape.group_size > 0) {
    for (int left = shape.micro_batches; left > 0; left -= shape.group_size) {
      sizes.push_back(std::min(left, shape.group_size));
    }
    return sizes;
  }
  const int groups = std::max(1, shape.micro_batches / shape.ranks);
  for (int group = 0; group < groups; ++group) {
    sizes.push_back(shape.micro_batches / groups + (group < shape.micro_batches % groups ? 1 : 0));
  }
  return sizes;
}

struct Step {
  int chunk;
  int micro_batch;
};

// A group of fewer micro-batches than ranks can stop the pipeline for ever: its backward passes
// wait for forward passes of the next group that stand behind them.
void require_groups(const PipelineShape& shape, const std::string& kind) {
  const auto [ranks, micro_batches, chunks, size] = shape;
  if (size == 0 || size >= micro_batches || chunks == 1) return;
  const int last = micro_batches % size == 0 ? size : micro_batches % size;
  if (std::min(size, last) >= ranks) return;
  throw ScheduleError("group size " + std::to_string(size) + ": " + kind + " on " +
                      std::to_string(ranks) + " ranks takes groups of at least " +
                      std::to_string(ranks) +
                      " micro-batches, the last one too, or one group of all " +
                      std::to_string(micro_batches) + "; the last one would have " +
                      std::to_string(last) + "; 0 makes them as equal as they can be");
}

// The order of forward passes on every rank: group after group, chunk after chunk.
std::vector<Step> forward_order(const std::vector<int>& groups, int chunks) {
  std::vector<Step> order;
  int first = 0;
  for (const int size : groups) {
    for (int chunk = 0; chunk < chunks; ++chunk) {
      for (int i = 0; i < size; ++i) order.push_back({chunk, first + i});
    }
    first += size;
  }
  return order;
}

std::vector<Action> rank_actions(const PipelineShape& shape, const Rhythm& rhythm, int rank) {
  const auto groups = group_sizes(shape);
  const auto order = forward_order(groups, shape.virtual_stages);
  const int warm_up =
      std::min(static_cast<int>(order.size()), rhythm.warm_up_per_hop * (shape.ranks - 1 - rank) +
                                                   (shape.virtual_stages - 1) * groups.front());
  const int lag = rhythm.weight_lag_per_rank * rank;
  std::vector<Action> actions;
  const auto append = [&](Pass pass, std::size_t i) {
    const bool forward = pass == Pass::forward;
    const int chunk = forward ? order[i].chunk : shape.virtual_stages - 1 - order[i].chunk;
    actions.push_back(
        {.pass = pass, .stage = chunk * shape.ranks + rank, .micro_batch = order[i].micro_batch});
  };
  std::size_t forwards = 0, weights = 0;
  while (forwards < static_cast<std::size_t>(warm_up)) append(Pass::forward, forwards++);
  for (std::size_t back = 0; back < order.size(); ++back) {
    if (forwards < order.size()) append(Pass::forward, forwards++);
    append(rhythm.split ? Pass::backward_input : Pass::backward, back);
    if (rhythm.split && back >= static_cast<std::size_t>(lag)) {
      append(Pass::backward_weight, weights++);
    }
  }
  while (rhythm.split && weights < order.size()) append(Pass::backward_weight, weights++);
  return actions;
}

Schedule in_rhythm(const char* kind, const PipelineShape& shape, const Rhythm& rhythm) {
  require_shape(shape, kind);
  require_groups(shape, kind);
  Schedule schedule =
      empty_schedule(kind, Placement::loop(shape.ranks, shape.virtual_stages), shape);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    schedule.ranks[static_cast<std::size_t>(rank)] = rank_actions(shape, rhythm, rank);
  }
  return schedule;
}

}  // namespace

Schedule one_f_one_b(const PipelineShape& shape) {
  require_single_chunk(shape, "1f1b");
  return in_rhythm("1f1b", shape, {});
}

Schedule interleaved(const PipelineShape& shape) {
  // A second forward pass per hop hides the way of the other chunks' messages.
  return in_rhythm("interleaved", shape, {.warm_up_per_hop = shape.virtual_stages > 1 ? 2 : 1});
}

Schedule zb_h1(const PipelineShape& shape) {
  require_single_chunk(shape, "zb-h1");
  return in_rhythm("zb-h1", shape, {.split = true, .weight_lag_per_rank = 1});
}

Schedule zb_h2(const PipelineShape& shape) {
  require_single_chunk(shape, "zb-h2");
  return in_rhythm("zb-h2", shape, {.warm_up_per_hop = 2, .split = true, .weight_lag_per_rank = 2});
}

Schedule interleaved_zb(const PipelineShape& shape) {
  return in_rhythm("interleaved-zb", shape, {.split = true, .weight_lag_per_rank = 1});
}

Schedule interleaved_zb_h2(const PipelineShape& shape) {
  return in_rhythm("interleaved-zb-h2", shape,
                   {.warm_up_per_hop = 2, .split = true, .weight_lag_per_rank = 2});
}

}  // namespace trireme::schedules
