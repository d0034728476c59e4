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

// Which tensor-parallel ranks compute with a replicated parameter. What is added to a sum over the
// ranks is added by the first.
// by_heads: every one has all of it and uses it for the heads it has.
enum class Reader { every_rank, first_rank, by_heads };

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
  double deviation;        // of Initializer::normal
  int unit;                // embedding 0, layer i is i + 1, the head is layers + 1
  std::int64_t block = 1;  // rows or columns that stay together when it is sharded: a head's
  Reader reader = Reader::every_rank;

  bool is_matrix() const { return dimensions == 2; }
  std::int64_t size() const { return rows * columns; }

  // Weight decay pulls on matrices only.
  bool decays() const { return is_matrix(); }
};

// The name of the embedding's table, which is the output projection too if embeddings are tied.
inline constexpr const char* kEmbeddingTable = "model.embed_tokens.weight";

// Every parameter once, in the order of the forward pass. Parameters of a layer that one matrix
// product reads together (q, k, v; gate, up) are neighbors of equal width.
std::vector<Parameter> parameter_table(const Shape& shape);

// Units of a model: its embedding, its layers, its head.
int unit_count(const Shape& shape);

std::int64_t parameter_count(const Shape& shape);

}  // namespace trireme::models
