#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/dtype.h"

namespace trireme::checkpoints {

// A block of rows and columns of a whole tensor, in the tensor's own coordinates.
struct Region {
  std::int64_t first_row = 0, rows = 0;
  std::int64_t first_column = 0, columns = 0;

  std::int64_t size() const { return rows * columns; }
  std::int64_t end_row() const { return first_row + rows; }
  std::int64_t end_column() const { return first_column + columns; }
  bool operator==(const Region&) const = default;
};

// What two blocks have in common; of size 0 if that is nothing.
inline Region overlap(const Region& a, const Region& b) {
  const std::int64_t row = std::max(a.first_row, b.first_row);
  const std::int64_t column = std::max(a.first_column, b.first_column);
  return {.first_row = row,
          .rows = std::max<std::int64_t>(0, std::min(a.end_row(), b.end_row()) - row),
          .first_column = column,
          .columns = std::max<std::int64_t>(0, std::min(a.end_column(), b.end_column()) - column)};
}

// A whole tensor of a checkpoint. A vector is a matrix of one row.
struct TensorInfo {
  std::string name;    // global: "model.layers.3.self_attn.q_proj.weight"
  int dimensions = 2;  // 1 or 2, as people see it
  std::int64_t rows = 0, columns = 0;
  kernels::Dtype dtype = kernels::Dtype::f32;  // as stored

  std::int64_t size() const { return rows * columns; }
  std::uint64_t bytes() const {
    return static_cast<std::uint64_t>(size()) * kernels::size_of(dtype);
  }
  bool operator==(const TensorInfo&) const = default;
};

// AdamW's moments of a parameter are tensors of their own.
inline std::string first_moment_of(const std::string& parameter) {
  return "optimizer/first_moment/" + parameter;
}
inline std::string second_moment_of(const std::string& parameter) {
  return "optimizer/second_moment/" + parameter;
}
inline bool is_parameter(const std::string& tensor) { return !tensor.starts_with("optimizer/"); }

}  // namespace trireme::checkpoints
