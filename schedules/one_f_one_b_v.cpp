#include <algorithm>
#include <array>

#include "schedules/generate.h"
#include "schedules/shape_rules.h"

// 1F1B-V of "Pipeline Parallelism with Controllable Memory" (Qi et al. 2024, arXiv:2405.15362,
// appendix): one micro-batch every six slots, a backward pass takes two of them.

namespace trireme::schedules {
namespace {

constexpr int kBlock = 6;

enum Row : std::size_t { forward_out, forward_home, backward_home, backward_out, rows };

bool is_backward(std::size_t row) { return row == backward_home || row == backward_out; }

using Block = std::array<int, rows>;

// First slot of each pass of micro-batch 0. Backward passes advance by two slots per rank, and by
// five after every third, so that the six slots of a block never collide.
std::vector<Block> blocks_of(int ranks) {
  const auto p = static_cast<std::size_t>(ranks);
  std::vector<Block> blocks(p);
  for (std::size_t rank = 0; rank < p; ++rank) {
    blocks[rank][forward_out] = static_cast<int>(rank);
    blocks[rank][forward_home] = static_cast<int>(2 * p - 1 - rank);
  }
  int slot = 2 * ranks + (ranks % 3 == 0 ? 3 : 0);
  int since_jump = (3 - (ranks + 2) % 3) % 3;
  const auto advance = [&] {
    slot += 2;
    if (++since_jump < 3) return;
    since_jump = 0;
    slot += 3;
  };
  for (std::size_t rank = 0; rank < p; ++rank, advance()) blocks[rank][backward_home] = slot;
  for (std::size_t rank = p; rank-- > 0; advance()) blocks[rank][backward_out] = slot;
  return blocks;
}

struct Occupant {
  std::size_t row = rows;  // rows: nobody
  int micro_batch = 0;
  bool second_half = false;  // of a backward pass

  int held_more() const {  // chunks
    if (row == rows) return 0;
    return is_backward(row) ? (second_half ? -1 : 0) : 1;
  }
};

struct RankGrid {
  std::vector<Occupant> slots;
  std::vector<int> held;                   // chunks, from each slot on
  std::array<std::vector<int>, rows> end;  // last slot of each pass that has its final place

  bool is_free(int slot) const { return slots[static_cast<std::size_t>(slot)].row == rows; }
};

RankGrid repeat(const Block& block, int micro_batches, int length) {
  RankGrid grid;
  grid.slots.resize(static_cast<std::size_t>(length));
  for (std::size_t row = 0; row < rows; ++row) {
    grid.end[row].resize(static_cast<std::size_t>(micro_batches));
    for (int i = 0; i < micro_batches; ++i) {
      const auto slot = static_cast<std::size_t>(block[row] + kBlock * i);
      grid.slots[slot] = {.row = row, .micro_batch = i};
      if (is_backward(row)) {
        grid.slots[slot + 1] = {.row = row, .micro_batch = i, .second_half = true};
      }
    }
  }
  int held = 0;
  for (const Occupant& occupant : grid.slots) {
    held += occupant.held_more();
    grid.held.push_back(held);
  }
  return grid;
}

// First slot at which everything the pass needs is there.
int earliest_slot(const std::vector<RankGrid>& grids, std::size_t rank, const Occupant& pass) {
  const auto number = static_cast<std::size_t>(pass.micro_batch);
  const auto& end = grids[rank].end;
  int latest = number > 0 ? end[pass.row][number - 1] : -1;
  const bool outward = pass.row == forward_out || pass.row == backward_home;
  const bool starts_here = rank == (outward ? 0 : grids.size() - 1);
  if (!starts_here) {
    latest = std::max(latest, grids[outward ? rank - 1 : rank + 1].end[pass.row][number]);
  } else if (pass.row > 0) {
    latest = std::max(latest, end[pass.row - 1][number]);
  }
  return latest + 1;
}

// An earlier slot for a backward pass: the first with room for both halves.
int earlier_backward(const RankGrid& grid, int from, int slot) {
  while (from < slot && !(grid.is_free(from) && grid.is_free(from + 1))) ++from;
  return from;
}

// An earlier slot for a forward pass: as far back as the rank holds less than `allowed`.
int earlier_forward(const RankGrid& grid, int from, int slot, int allowed) {
  int place = slot;
  while (place > from && grid.held[static_cast<std::size_t>(place) - 1] < allowed) --place;
  while (place < slot && !grid.is_free(place)) ++place;
  return place;
}

// Moves a pass to its final place; what the rank holds in between changes with it.
void move(RankGrid& grid, int slot, int to) {
  const Occupant pass = grid.slots[static_cast<std::size_t>(slot)];
  const int length = is_backward(pass.row) ? 2 : 1;
  grid.end[pass.row][static_cast<std::size_t>(pass.micro_batch)] = to + length - 1;
  if (to == slot) return;
  for (int i = 0; i < length; ++i) {
    std::swap(grid.slots[static_cast<std::size_t>(slot + i)],
              grid.slots[static_cast<std::size_t>(to + i)]);
  }
  for (int i = to; i < slot; ++i) {
    grid.held[static_cast<std::size_t>(i + length - 1)] += length == 1 ? 1 : -1;
  }
}

// Fills the bubbles of warm-up and cool-down without holding more than the repeated block does.
void squeeze(std::vector<RankGrid>& grids) {
  int allowed = 0;
  for (const RankGrid& grid : grids) {
    allowed = std::max(allowed, *std::max_element(grid.held.begin(), grid.held.end()));
  }
  for (std::size_t slot = 0; slot < grids[0].slots.size(); ++slot) {
    for (std::size_t rank = 0; rank < grids.size(); ++rank) {
      RankGrid& grid = grids[rank];
      const Occupant pass = grid.slots[slot];
      if (pass.row == rows || pass.second_half) continue;
      const int at = static_cast<int>(slot), from = earliest_slot(grids, rank, pass);
      move(grid, at,
           is_backward(pass.row) ? earlier_backward(grid, from, at)
                                 : earlier_forward(grid, from, at, allowed));
    }
  }
}

}  // namespace

Schedule one_f_one_b_v(const PipelineShape& shape) {
  require_two_chunks(shape, "1f1b-v");
  const auto blocks = blocks_of(shape.ranks);
  int length = 0;
  for (const Block& block : blocks) {
    length = std::max(length, *std::max_element(block.begin(), block.end()) + 2 +
                                  kBlock * (shape.micro_batches - 1));
  }
  std::vector<RankGrid> grids;
  for (const Block& block : blocks) grids.push_back(repeat(block, shape.micro_batches, length));
  squeeze(grids);
  Schedule schedule = empty_schedule("1f1b-v", Placement::v(shape.ranks), shape);
  for (int rank = 0; rank < shape.ranks; ++rank) {
    for (const Occupant& pass : grids[static_cast<std::size_t>(rank)].slots) {
      if (pass.row == rows || pass.second_half) continue;
      const bool returns = pass.row == forward_home || pass.row == backward_home;
      schedule.ranks[static_cast<std::size_t>(rank)].push_back(
          {.pass = is_backward(pass.row) ? Pass::backward : Pass::forward,
           .stage = returns ? 2 * shape.ranks - 1 - rank : rank,
           .micro_batch = pass.micro_batch});
    }
  }
  return schedule;
}

}  // namespace trireme::schedules
