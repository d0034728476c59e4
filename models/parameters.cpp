#include "models/parameters.h"

#include <cmath>

namespace trireme::models {
namespace {

constexpr double kDeviation = 0.02;

// Collects the parameters of one unit.
class Table {
 public:
  void begin_unit(int unit, std::string prefix) {
    unit_ = unit;
    prefix_ = std::move(prefix);
  }

  void matrix(const std::string& name, std::int64_t rows, std::int64_t columns, Sharding sharding,
              std::int64_t block = 1, double deviation = kDeviation) {
    parameters.push_back({.name = prefix_ + name + ".weight",
                          .dimensions = 2,
                          .rows = rows,
                          .columns = columns,
                          .sharding = sharding,
                          .initializer = Initializer::normal,
                          .deviation = deviation,
                          .unit = unit_,
                          .block = block});
  }

  // A bias is shared like the outputs it is added to. A vector's only dimension counts as columns
  // but is sharded with the rows of its matrix.
  void bias(const std::string& name, std::int64_t size, Sharding sharding, std::int64_t block = 1) {
    vector(name + ".bias", size, Initializer::zeros,
           sharding == Sharding::rows ? Sharding::columns : Sharding::replicated);
    parameters.back().block = block;
    // The outputs of a matrix whose inputs are shared out are sums over the ranks.
    if (sharding == Sharding::columns) parameters.back().reader = Reader::first_rank;
  }

  void norm(const std::string& name, std::int64_t size, bool with_bias) {
    vector(name + ".weight", size, Initializer::ones, Sharding::replicated);
    if (with_bias) vector(name + ".bias", size, Initializer::zeros, Sharding::replicated);
  }

  std::vector<Parameter> parameters;

 private:
  void vector(const std::string& name, std::int64_t size, Initializer initializer,
              Sharding sharding) {
    parameters.push_back({.name = prefix_ + name,
                          .dimensions = 1,
                          .rows = 1,
                          .columns = size,
                          .sharding = sharding,
                          .initializer = initializer,
                          .deviation = 0,
                          .unit = unit_});
  }

  int unit_ = 0;
  std::string prefix_;
};

void add_layer(Table& table, const Shape& shape) {
  const bool gpt2 = shape.family == Family::gpt2;
  const std::int64_t hidden = shape.hidden_size, inner = shape.intermediate_size;
  // Projections into the residual stream start smaller, so that its variance does not grow with
  // depth (Radford et al. 2019).
  const double residual =
      kDeviation / std::sqrt(2.0 * static_cast<double>(shape.num_hidden_layers));
  table.norm("input_layernorm", hidden, gpt2);
  const std::int64_t head = shape.head_dim;
  table.matrix("self_attn.q_proj", shape.query_columns(), hidden, Sharding::rows, head);
  table.matrix("self_attn.k_proj", shape.key_columns(), hidden, Sharding::rows, head);
  table.matrix("self_attn.v_proj", shape.key_columns(), hidden, Sharding::rows, head);
  if (shape.attention_bias) {
    table.bias("self_attn.q_proj", shape.query_columns(), Sharding::rows, head);
    table.bias("self_attn.k_proj", shape.key_columns(), Sharding::rows, head);
    table.bias("self_attn.v_proj", shape.key_columns(), Sharding::rows, head);
  }
  if (shape.qk_norm) {
    for (const char* name : {"self_attn.q_norm", "self_attn.k_norm"}) {
      table.norm(name, head, false);
      table.parameters.back().reader = Reader::by_heads;
    }
  }
  table.matrix("self_attn.o_proj", hidden, shape.query_columns(), Sharding::columns, head,
               residual);
  if (gpt2) table.bias("self_attn.o_proj", hidden, Sharding::columns);
  table.norm("post_attention_layernorm", hidden, gpt2);
  if (!gpt2) table.matrix("mlp.gate_proj", inner, hidden, Sharding::rows);
  table.matrix("mlp.up_proj", inner, hidden, Sharding::rows);
  if (gpt2) table.bias("mlp.up_proj", inner, Sharding::rows);
  table.matrix("mlp.down_proj", hidden, inner, Sharding::columns, 1, residual);
  if (gpt2) table.bias("mlp.down_proj", hidden, Sharding::columns);
}

}  // namespace

std::vector<Parameter> parameter_table(const Shape& shape) {
  const bool gpt2 = shape.family == Family::gpt2;
  Table table;
  table.begin_unit(0, "model.");
  table.matrix("embed_tokens", shape.vocab_size, shape.hidden_size, Sharding::rows);
  if (gpt2) {
    table.matrix("embed_positions", shape.max_position_embeddings, shape.hidden_size,
                 Sharding::replicated, 1, kDeviation / 2);
    table.parameters.back().reader = Reader::first_rank;
  }
  for (int layer = 0; layer < shape.num_hidden_layers; ++layer) {
    table.begin_unit(layer + 1, "model.layers." + std::to_string(layer) + ".");
    add_layer(table, shape);
  }
  table.begin_unit(unit_count(shape) - 1, "");
  table.norm("model.norm", shape.hidden_size, gpt2);
  if (!shape.tie_word_embeddings) {
    table.matrix("lm_head", shape.vocab_size, shape.hidden_size, Sharding::rows);
  }
  return std::move(table.parameters);
}

int unit_count(const Shape& shape) { return static_cast<int>(shape.num_hidden_layers) + 2; }

std::int64_t parameter_count(const Shape& shape) {
  std::int64_t count = 0;
  for (const auto& parameter : parameter_table(shape)) count += parameter.size();
  return count;
}

}  // namespace trireme::models
