#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/shape.h"

namespace trireme::models {

// How the tensor-parallel ranks share a parameter.
enum class Sharding {
  replicated,  // every rank holds all of it
  rows,        // equal blocks of rows: outputs of a column-parallel linear, or a vocabulary
  columns,     // equal blocks of columns: inputs of a row-parallel linear
};

enum class Initializer { zeros, ones, normal };

// One parameter of the whole model: the one declaration that initialization, gradient norm, ZeRO
// shards, checkpoints and conservation checks all read.
struct Parameter {
  std::string name;  // global: "model.layers.3.self_attn.q_proj.weight"
  int dimensions;    // 1: a vector, kept as one row; 2: a matrix
  std::int64_t rows;
  std::int64_t columns;
  Sharding sharding;
  Initializer initializer;
  double deviation;  // of Initializer::normal
  int unit;          // embedding 0, layer i is i + 1, the head is layers + 1

  bool is_matrix() const { return dimensions == 2; }
  std::int64_t size() const { return rows * columns; }

  // Weight decay pulls on matrices only.
  bool decays() const { return is_matrix(); }
};

// Every parameter once, in the order of the forward pass. Parameters of a layer that one matrix
// product reads together (q, k, v; gate, up) are neighbors of equal width.
std::vector<Parameter> parameter_table(const Shape& shape);

// Units of a model: its embedding, its layers, its head.
int unit_count(const Shape& shape);

std::int64_t parameter_count(const Shape& shape);

}  // namespace trireme::models
