#include <algorithm>
#include <array>
#include <tuple>

#include "schedules/generate.h"
#include "schedules/shape_rules.h"

// "Pipeline Parallelism with Controllable Memory" (Qi et al. 2024, arXiv:2405.15362). A micro-batch
// is a building block: the slot of each of its passes on each rank. Repeating the block every six
// slots gives a schedule whose memory the block's lifespans fix; squeezing then moves the warm-up
// and the cool-down towards each other without holding more.

namespace trireme::schedules {
namespace {

// In the order in which a micro-batch goes through them. Weight gradients have no slot of their
// own: they take the free ones after the backward passes.
enum Row : std::size_t { forward_out, forward_home, backward_home, backward_out, rows };

constexpr int kBlock = 6;  // slots of one micro-batch: two chunks of F, B and W

using Block = std::array<int, rows>;  // one rank's slots for micro-batch 0

struct RankSlots {
  std::array<std::vector<int>, rows> of;  // per row and micro-batch
  std::vector<int> weights;               // in the order of the backward passes; may be empty
};

struct Event {
  int slot;
  int rank;
  std::size_t row;  // `rows`: a weight gradient
  int number;       // micro-batch, or the number of the weight gradient
};

std::vector<Event> events_of(const RankSlots& slots, int rank) {
  std::vector<Event> events;
  for (std::size_t row = 0; row <= rows; ++row) {
    const auto& list = row == rows ? slots.weights : slots.of[row];
    for (std::size_t i = 0; i < list.size(); ++i) {
      events.push_back({list[i], rank, row, static_cast<int>(i)});
    }
  }
  std::sort(events.begin(), events.end(),
            [](const Event& a, const Event& b) { return a.slot < b.slot; });
  return events;
}

bool is_backward(std::size_t row) { return row == backward_home || row == backward_out; }

// The first free slot after each backward pass, in order.
void place_weights(RankSlots& slots) {
  slots.weights.clear();
  int slot = 0, pending = 0;
  for (const Event& event : events_of(slots, 0)) {
    for (; slot < event.slot; ++slot) {
      if (pending == 0) continue;
      slots.weights.push_back(slot);
      --pending;
    }
    slot = event.slot + 1;
    if (is_backward(event.row)) ++pending;
  }
  while (pending-- > 0) slots.weights.push_back(slot++);
}

// Most chunks held at once, weight gradients taken as placed or, if they are not, in the first
// free slots.
int peak_chunks(const RankSlots& slots) {
  const bool placed = !slots.weights.empty();
  int held = 0, peak = 0, pending = 0, slot = 0;
  for (const Event& event : events_of(slots, 0)) {
    if (!placed) {
      const int freed = std::min(pending, event.slot - slot);
      held -= freed;
      pending -= freed;
      slot = event.slot + 1;
    }
    if (event.row == forward_out || event.row == forward_home) ++held;
    if (event.row == rows) --held;
    if (is_backward(event.row)) ++pending;
    peak = std::max(peak, held);
  }
  return peak;
}

using Slots = std::vector<RankSlots>;

std::vector<Event> all_events(const Slots& slots) {
  std::vector<Event> events;
  for (std::size_t rank = 0; rank < slots.size(); ++rank) {
    const auto own = events_of(slots[rank], static_cast<int>(rank));
    events.insert(events.end(), own.begin(), own.end());
  }
  std::sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    return std::tie(a.slot, a.rank, a.row) < std::tie(b.slot, b.rank, b.row);
  });
  return events;
}

// The rank on which a row's neighbor in time stands: -1 if it starts on this rank.
int source_rank(const Event& event, int ranks) {
  const bool outward = event.row == forward_out || event.row == backward_home;
  const int rank = outward ? event.rank - 1 : event.rank + 1;
  return rank < ranks ? rank : -1;
}

int& slot_of(Slots& slots, const Event& event) {
  RankSlots& own = slots[static_cast<std::size_t>(event.rank)];
  auto& list = event.row == rows ? own.weights : own.of[event.row];
  return list[static_cast<std::size_t>(event.number)];
}

// The last slot whose result the event needs.
int needs(const Slots& slots, const Event& event) {
  const RankSlots& own = slots[static_cast<std::size_t>(event.rank)];
  const auto number = static_cast<std::size_t>(event.number);
  if (event.row == rows) {
    std::vector<int> backward = own.of[backward_home];
    backward.insert(backward.end(), own.of[backward_out].begin(), own.of[backward_out].end());
    std::sort(backward.begin(), backward.end());
    return std::max(backward[number], number > 0 ? own.weights[number - 1] : -1);
  }
  int latest = number > 0 ? own.of[event.row][number - 1] : -1;
  if (event.row > 0) latest = std::max(latest, own.of[event.row - 1][number]);
  const int source = source_rank(event, static_cast<int>(slots.size()));
  if (source >= 0) {
    latest = std::max(latest, slots[static_cast<std::size_t>(source)].of[event.row][number]);
  }
  return latest;
}

// Runs every rank's order without gaps, one slot per pass.
void close_gaps(Slots& slots) {
  std::vector<int> free(slots.size(), 0);
  for (const Event& event : all_events(slots)) {
    int& next = free[static_cast<std::size_t>(event.rank)];
    // A weight gradient comes after its backward pass by its rank's order.
    const int earliest = event.row == rows ? 0 : needs(slots, event) + 1;
    int& slot = slot_of(slots, event);
    slot = std::max(next, earliest);
    next = slot + 1;
  }
}

// Moves passes before the first backward pass of stage 0 ends and after the last forward pass of
// stage 0 into earlier free slots, as long as no rank holds more than the block does.
void squeeze(Slots& slots, bool weights_have_slots) {
  for (RankSlots& own : slots) {
    own.weights.clear();
    if (weights_have_slots) place_weights(own);
  }
  int allowed = 0;
  std::vector<std::vector<bool>> taken(slots.size());
  for (const RankSlots& own : slots) allowed = std::max(allowed, peak_chunks(own));
  enum { warming_up, steady, cooling_down } phase = warming_up;
  for (const Event& event : all_events(slots)) {
    if (phase == warming_up && event.rank == 0 && event.row == backward_out) phase = steady;
    bool fixed = phase == warming_up && !weights_have_slots;
    if (phase == steady) {
      fixed = true;
      const auto micro_batches = slots[0].of[forward_out].size();
      if (event.row == forward_out && event.number == static_cast<int>(micro_batches) - 1) {
        phase = cooling_down;
      }
    }
    auto& own_taken = taken[static_cast<std::size_t>(event.rank)];
    own_taken.resize(std::max(own_taken.size(), static_cast<std::size_t>(event.slot) + 1));
    int& slot = slot_of(slots, event);
    for (int earlier = fixed ? event.slot : needs(slots, event) + 1; earlier < event.slot;
         ++earlier) {
      if (own_taken[static_cast<std::size_t>(earlier)]) continue;
      slot = earlier;
      if (peak_chunks(slots[static_cast<std::size_t>(event.rank)]) <= allowed) break;
      slot = event.slot;
    }
    own_taken[static_cast<std::size_t>(slot)] = true;
  }
  if (!weights_have_slots) {
    for (RankSlots& own : slots) place_weights(own);
  }
  close_gaps(slots);
}

// The rank's passes in the order of their slots; weight gradients in the free ones, those of the
// way home first.
std::vector<Action> rank_actions(const RankSlots& own, int rank, int ranks) {
  const int out = rank, home = 2 * ranks - 1 - rank;
  std::vector<Action> actions;
  std::array<int, 2> pending{}, done{};  // home, out
  const auto weight_gradient = [&] {
    const std::size_t side = pending[0] > 0 ? 0 : 1;
    --pending[side];
    actions.push_back({.pass = Pass::backward_weight,
                       .stage = side == 0 ? home : out,
                       .micro_batch = done[side]++});
  };
  int slot = 0;
  for (const Event& event : events_of(own, rank)) {
    for (; slot < event.slot; ++slot) {
      if (pending[0] + pending[1] > 0) weight_gradient();
    }
    slot = event.slot + 1;
    const bool returns = event.row == forward_home || event.row == backward_home;
    if (is_backward(event.row)) ++pending[returns ? 0 : 1];
    actions.push_back({.pass = is_backward(event.row) ? Pass::backward_input : Pass::forward,
                       .stage = returns ? home : out,
                       .micro_batch = event.number});
  }
  while (pending[0] + pending[1] > 0) weight_gradient();
  return actions;
}

Schedule from_blocks(const char* kind, const PipelineShape& shape,
                     const std::vector<Block>& blocks) {
  Slots slots(blocks.size());
  for (std::size_t rank = 0; rank < blocks.size(); ++rank) {
    for (std::size_t row = 0; row < rows; ++row) {
      for (int i = 0; i < shape.micro_batches; ++i) {
        slots[rank].of[row].push_back(blocks[rank][row] + kBlock * i);
      }
    }
  }
  squeeze(slots, /*weights_have_slots=*/true);
  squeeze(slots, /*weights_have_slots=*/false);
  Schedule schedule = empty_schedule(kind, Placement::v(shape.ranks), shape);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    RankSlots& own = slots[static_cast<std::size_t>(rank)];
    own.weights.clear();
    schedule.ranks[static_cast<std::size_t>(rank)] = rank_actions(own, rank, shape.ranks);
  }
  return schedule;
}

}  // namespace

Schedule v_half(const PipelineShape& shape) {
  require_two_chunks(shape, "v-half");
  const int p = shape.ranks, gap = p % 2 == 0 ? 3 : 0;  // keeps the slots of a block apart
  std::vector<Block> blocks;
  for (int rank = 0; rank < p; ++rank) {
    blocks.push_back(
        {2 * rank, 3 * p - rank - 2, 3 * p + gap + 2 * rank - 1, 6 * p + gap - rank - 2});
  }
  return from_blocks("v-half", shape, blocks);
}

Schedule v_min(const PipelineShape& shape) {
  require_two_chunks(shape, "v-min");
  const int p = shape.ranks, gap = p % 3 == 0 ? 2 : 0;
  std::vector<Block> blocks;
  for (int rank = 0; rank < p; ++rank) {
    blocks.push_back({rank, 2 * p - rank - 1, 2 * p + gap + rank, 4 * p + gap - rank - 1});
  }
  return from_blocks("v-min", shape, blocks);
}

}  // namespace trireme::schedules
