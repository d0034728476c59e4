#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"

namespace trireme::checkpoints {

// How a tensor of one checkpoint differs from that of another.
struct TensorDifference {
  std::string name;
  std::string problem;  // "is only in the first", "has another shape": nothing was compared
  std::int64_t elements = 0, different = 0;
  double largest = 0;         // |a - b|
  double relative_error = 0;  // |a - b| / |a|, by Euclidean norms; infinite where NaN is involved
  std::int64_t row = 0, column = 0;  // of the first element that differs

  bool differs() const { return different > 0 || !problem.empty(); }
};

// Every tensor of either, in the order of the first and then of the second. Values are compared,
// bit for bit where both are stored alike. Reads one slice at a time. Throws CheckpointError.
std::vector<TensorDifference> differences(Checkpoint& first, Checkpoint& second);

}  // namespace trireme::checkpoints
