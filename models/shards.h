#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/parameters.h"

namespace trireme::models {

// The rows and columns of a parameter that one tensor-parallel rank holds.
struct Slice {
  std::int64_t first_row = 0, rows = 0;
  std::int64_t first_column = 0, columns = 0;
  // Ranks next to each other that hold this same slice, because there are fewer blocks than ranks,
  // and which of them this rank is.
  int copies = 1, copy = 0;

  std::int64_t size() const { return rows * columns; }
};

// What rank `rank` of `ranks` holds. Blocks (heads, channels, tokens) are shared out in order, the
// first ranks taking one more where they do not come out even; with fewer blocks than ranks every
// block has ranks / blocks holders, so that must be a whole number.
Slice slice_of(const Parameter& parameter, int rank, int ranks);

// The initial values of a slice, row-major: those of the whole parameter.
void initial_values(const Parameter& parameter, const Slice& slice, std::uint64_t seed,
                    std::span<float> values);

// A parameter as one rank holds it.
struct Shard {
  Parameter parameter;
  Slice slice;
  // Of the rank that holds most: the same on all of them, for what they must decide alike.
  std::int64_t largest_size = 0;
  std::vector<int> units;  // that read it here: two for a tied table with both its ends here
  // Another pipeline rank holds the same slice: a tied table whose ends are apart.
  bool shared_by_stages = false;
  // Of all ranks that hold these elements of one replica, this one counts and saves them.
  bool is_counted = true;
};

// Which units a rank runs: one list per stage it holds, each ascending.
using UnitsByStage = std::vector<std::vector<int>>;

// What a rank holds, stage after stage, in the order of the forward pass.
std::vector<std::vector<Shard>> shards_of(const Shape& shape, const UnitsByStage& stages,
                                          int tensor_rank, int tensor_ranks);

// The same for a rank that holds everything.
std::vector<std::vector<Shard>> whole_model(const Shape& shape);

}  // namespace trireme::models
