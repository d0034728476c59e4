#include "checkpoints/difference.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace trireme::checkpoints {
namespace {

// Sums over the slices of a tensor.
struct Sums {
  double difference = 0, size = 0;
};

void compare(const Region& region, const std::vector<float>& a, const std::vector<float>& b,
             TensorDifference& found, Sums& sums) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    sums.size += static_cast<double>(a[i]) * a[i];
    if (std::bit_cast<std::uint32_t>(a[i]) == std::bit_cast<std::uint32_t>(b[i])) continue;
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    const auto at = static_cast<std::int64_t>(i);
    const std::int64_t row = region.first_row + at / region.columns;
    const std::int64_t column = region.first_column + at % region.columns;
    if (found.different++ == 0 || std::pair(row, column) < std::pair(found.row, found.column)) {
      found.row = row;
      found.column = column;
    }
    const bool is_number = !std::isnan(difference);
    found.largest =
        is_number ? std::max(found.largest, difference) : std::numeric_limits<double>::infinity();
    sums.difference +=
        is_number ? difference * difference : std::numeric_limits<double>::infinity();
  }
}

TensorDifference compare(Checkpoint& first, const StoredTensor& a, Checkpoint& second,
                         const StoredTensor& b) {
  TensorDifference found{.name = a.info.name, .problem = {}, .elements = a.info.size()};
  if (a.info.rows != b.info.rows || a.info.columns != b.info.columns) {
    found.problem = "has another shape";
    return found;
  }
  Sums sums;
  for (const StoredSlice& slice : a.slices) {
    const auto size = static_cast<std::size_t>(slice.region.size());
    std::vector<float> mine(size), other(size);
    first.read(a, slice.region, mine);
    second.read(b, slice.region, other);
    compare(slice.region, mine, other, found, sums);
  }
  if (found.different > 0) {
    found.relative_error = sums.size > 0 ? std::sqrt(sums.difference / sums.size)
                                         : std::numeric_limits<double>::infinity();
  }
  return found;
}

}  // namespace

std::vector<TensorDifference> differences(Checkpoint& first, Checkpoint& second) {
  std::vector<TensorDifference> all;
  for (const StoredTensor& tensor : first.manifest().tensors) {
    const StoredTensor* other = second.manifest().find(tensor.info.name);
    if (other) {
      all.push_back(compare(first, tensor, second, *other));
    } else {
      all.push_back({.name = tensor.info.name, .problem = "is only in the first"});
    }
  }
  for (const StoredTensor& tensor : second.manifest().tensors) {
    if (first.manifest().find(tensor.info.name)) continue;
    all.push_back({.name = tensor.info.name, .problem = "is only in the second"});
  }
  return all;
}

}  // namespace trireme::checkpoints
