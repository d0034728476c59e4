#include "models/shards.h"

#include <algorithm>
#include <string>

#include "models/random.h"

namespace trireme::models {
namespace {

// A rank's share of `size` elements in blocks of `block`.
struct Share {
  std::int64_t first = 0, count = 0;
  int copies = 1, copy = 0;
};

Share share_of(const Parameter& parameter, std::int64_t size, int rank, int ranks) {
  const std::int64_t blocks = size / parameter.block;
  if (blocks >= ranks) {
    const std::int64_t each = blocks / ranks, more = blocks % ranks;
    const std::int64_t first = rank * each + std::min<std::int64_t>(rank, more);
    return {.first = first * parameter.block,
            .count = (each + (rank < more ? 1 : 0)) * parameter.block};
  }
  if (ranks % blocks != 0) {
    throw ModelError(parameter.name + ": " + std::to_string(blocks) + " blocks for " +
                     std::to_string(ranks) + " tensor-parallel ranks: one must divide the other");
  }
  const int copies = ranks / static_cast<int>(blocks);
  return {.first = rank / copies * parameter.block,
          .count = parameter.block,
          .copies = copies,
          .copy = rank % copies};
}

bool holds(const UnitsByStage& stages, int unit) {
  return std::ranges::any_of(stages, [unit](const std::vector<int>& units) {
    return std::ranges::find(units, unit) != units.end();
  });
}

}  // namespace

Slice slice_of(const Parameter& parameter, int rank, int ranks) {
  Slice slice{.rows = parameter.rows, .columns = parameter.columns};
  if (parameter.sharding == Sharding::replicated) {
    slice.copies = ranks;
    slice.copy = rank;
    return slice;
  }
  const bool by_rows = parameter.sharding == Sharding::rows;
  const Share share =
      share_of(parameter, by_rows ? parameter.rows : parameter.columns, rank, ranks);
  (by_rows ? slice.first_row : slice.first_column) = share.first;
  (by_rows ? slice.rows : slice.columns) = share.count;
  slice.copies = share.copies;
  slice.copy = share.copy;
  return slice;
}

void initial_values(const Parameter& parameter, const Slice& slice, std::uint64_t seed,
                    std::span<float> values) {
  if (slice.columns == parameter.columns) {
    initial_values(parameter, seed, slice.first_row * parameter.columns, values);
    return;
  }
  for (std::int64_t row = 0; row < slice.rows; ++row) {
    const std::int64_t first = (slice.first_row + row) * parameter.columns + slice.first_column;
    initial_values(parameter, seed, first,
                   values.subspan(static_cast<std::size_t>(row * slice.columns),
                                  static_cast<std::size_t>(slice.columns)));
  }
}

std::vector<std::vector<Shard>> shards_of(const Shape& shape, const UnitsByStage& stages,
                                          int tensor_rank, int tensor_ranks) {
  const auto table = parameter_table(shape);
  const int head = unit_count(shape) - 1;
  const bool tied = shape.tie_word_embeddings;
  const bool both_ends = holds(stages, 0) && holds(stages, head);
  std::vector<std::vector<Shard>> all;
  for (const std::vector<int>& units : stages) {
    auto& held = all.emplace_back();
    for (const int unit : units) {
      for (const Parameter& parameter : table) {
        const bool is_tied_table = tied && parameter.name == kEmbeddingTable;
        const bool is_copy = is_tied_table && unit == head && !both_ends;
        if (parameter.unit != unit && !is_copy) continue;
        const Slice slice = slice_of(parameter, tensor_rank, tensor_ranks);
        Shard shard{.parameter = parameter,
                    .slice = slice,
                    .largest_size = slice_of(parameter, 0, tensor_ranks).size(),
                    .units = {unit}};
        if (is_tied_table && both_ends) shard.units.push_back(head);
        shard.shared_by_stages = is_tied_table && !both_ends;
        shard.is_counted = slice.copy == 0 && !is_copy;
        held.push_back(shard);
      }
    }
  }
  return all;
}

std::vector<std::vector<Shard>> whole_model(const Shape& shape) {
  std::vector<int> units;
  for (int unit = 0; unit < unit_count(shape); ++unit) units.push_back(unit);
  return shards_of(shape, {units}, 0, 1);
}

}  // namespace trireme::models
