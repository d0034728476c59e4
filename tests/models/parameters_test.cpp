#include "models/parameters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace trireme::models {
namespace {

Shape llama() {
  return {.family = Family::llama,
          .hidden_size = 12,
          .intermediate_size = 20,
          .num_hidden_layers = 3,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 6,
          .vocab_size = 17};
}

Shape gpt2() {
  return {.family = Family::gpt2,
          .hidden_size = 12,
          .intermediate_size = 48,
          .num_hidden_layers = 3,
          .num_attention_heads = 3,
          .num_key_value_heads = 3,
          .head_dim = 4,
          .vocab_size = 17,
          .max_position_embeddings = 9,
          .tie_word_embeddings = true,
          .attention_bias = true};
}

Shape untied(Shape shape) {
  shape.tie_word_embeddings = false;
  return shape;
}

std::vector<std::string> names_of(const Shape& shape) {
  std::vector<std::string> names;
  for (const auto& parameter : parameter_table(shape)) names.push_back(parameter.name);
  return names;
}

Parameter find(const Shape& shape, const std::string& name) {
  for (const auto& parameter : parameter_table(shape)) {
    if (parameter.name == name) return parameter;
  }
  ADD_FAILURE() << "there is no " << name;
  return {};
}

TEST(ParameterTable, ListsALlamaInTheOrderOfTheForwardPass) {
  Shape one_layer = llama();
  one_layer.num_hidden_layers = 1;
  EXPECT_EQ(names_of(one_layer), (std::vector<std::string>{
                                     "model.embed_tokens.weight",
                                     "model.layers.0.input_layernorm.weight",
                                     "model.layers.0.self_attn.q_proj.weight",
                                     "model.layers.0.self_attn.k_proj.weight",
                                     "model.layers.0.self_attn.v_proj.weight",
                                     "model.layers.0.self_attn.o_proj.weight",
                                     "model.layers.0.post_attention_layernorm.weight",
                                     "model.layers.0.mlp.gate_proj.weight",
                                     "model.layers.0.mlp.up_proj.weight",
                                     "model.layers.0.mlp.down_proj.weight",
                                     "model.norm.weight",
                                     "lm_head.weight",
                                 }));
}

TEST(ParameterTable, GivesEveryParameterANameOfItsOwn) {
  for (const auto& shape : {llama(), gpt2(), preset("llama3-70b")}) {
    const auto names = names_of(shape);
    EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
  }
}

TEST(ParameterTable, KeepsMatricesOfOneProductTogetherAndOfOneWidth) {
  for (const auto& shape : {llama(), gpt2()}) {
    const auto table = parameter_table(shape);
    const auto follow = [&](std::size_t i, const char* first, const char* second) {
      const auto at = table[i].name.find(first);
      if (at == std::string::npos) return;
      ASSERT_LT(i + 1, table.size());
      EXPECT_EQ(table[i + 1].name,
                std::string(table[i].name).replace(at, std::string(first).size(), second));
      EXPECT_EQ(table[i + 1].columns,
                table[i].is_matrix() ? table[i].columns : table[i + 1].columns);
    };
    for (std::size_t i = 0; i < table.size(); ++i) {
      follow(i, "q_proj", "k_proj");
      follow(i, "k_proj", "v_proj");
      follow(i, "gate_proj", "up_proj");
    }
  }
}

TEST(ParameterTable, HasAHeadOfItsOwnOnlyIfTheEmbeddingIsNotTied) {
  for (const auto& shape : {llama(), untied(gpt2())}) {
    const auto names = names_of(shape);
    EXPECT_EQ(names.back(), "lm_head.weight");
    Shape tied = shape;
    tied.tie_word_embeddings = true;
    const auto tied_names = names_of(tied);
    EXPECT_EQ(std::ranges::count(tied_names, "lm_head.weight"), 0);
    EXPECT_EQ(parameter_count(shape) - parameter_count(tied), shape.vocab_size * shape.hidden_size);
  }
}

TEST(ParameterTable, CountsUnitsFromTheEmbeddingThroughTheLayersToTheHead) {
  const auto unit_of = [](const std::string& name) {
    if (name.starts_with("model.embed_")) return 0;
    if (name.starts_with("model.layers."))
      return 1 + std::stoi(name.substr(std::string("model.layers.").size()));
    return 4;
  };
  for (const auto& shape : {llama(), gpt2()}) {
    EXPECT_EQ(unit_count(shape), 5);
    const auto table = parameter_table(shape);
    EXPECT_TRUE(std::ranges::is_sorted(table, {}, &Parameter::unit));
    for (const auto& parameter : table)
      EXPECT_EQ(parameter.unit, unit_of(parameter.name)) << parameter.name;
  }
}

TEST(ParameterTable, ShapesFollowHeadsAndGroups) {
  const auto expect = [](const Parameter& parameter, std::int64_t rows, std::int64_t columns) {
    EXPECT_EQ(parameter.rows, rows) << parameter.name;
    EXPECT_EQ(parameter.columns, columns) << parameter.name;
    EXPECT_EQ(parameter.size(), rows * columns) << parameter.name;
  };
  expect(find(llama(), "model.embed_tokens.weight"), 17, 12);
  expect(find(llama(), "model.layers.1.self_attn.q_proj.weight"), 24, 12);
  expect(find(llama(), "model.layers.1.self_attn.k_proj.weight"), 12, 12);
  expect(find(llama(), "model.layers.1.self_attn.o_proj.weight"), 12, 24);
  expect(find(llama(), "model.layers.1.mlp.gate_proj.weight"), 20, 12);
  expect(find(llama(), "model.layers.1.mlp.down_proj.weight"), 12, 20);
  expect(find(gpt2(), "model.embed_positions.weight"), 9, 12);
  expect(find(gpt2(), "model.layers.2.mlp.up_proj.bias"), 1, 48);
  expect(find(gpt2(), "model.norm.bias"), 1, 12);
}

TEST(ParameterTable, PutsBiasesOfALlamaOnQueriesKeysAndValuesOnly) {
  Shape shape = llama();
  shape.attention_bias = true;
  std::vector<std::string> biases;
  for (const auto& name : names_of(shape)) {
    if (name.starts_with("model.layers.0.") && name.ends_with(".bias")) biases.push_back(name);
  }
  EXPECT_EQ(biases, (std::vector<std::string>{"model.layers.0.self_attn.q_proj.bias",
                                              "model.layers.0.self_attn.k_proj.bias",
                                              "model.layers.0.self_attn.v_proj.bias"}));
}

// Column-parallel products share their outputs, row-parallel ones their inputs, and every rank has
// what it adds after their sum.
TEST(ParameterTable, SharesProductsByTheirOutputsThenByTheirInputs) {
  for (const auto& parameter : parameter_table(gpt2())) {
    const auto has = [&](const char* part) {
      return parameter.name.find(part) != std::string::npos;
    };
    const bool outputs =
        has("q_proj") || has("k_proj") || has("v_proj") || has("up_proj") || has("embed_tokens");
    const bool inputs = has("o_proj.weight") || has("down_proj.weight");
    const Sharding expected = outputs ? (parameter.is_matrix() ? Sharding::rows : Sharding::columns)
                              : inputs ? Sharding::columns
                                       : Sharding::replicated;
    EXPECT_EQ(parameter.sharding, expected) << parameter.name;
  }
  EXPECT_EQ(find(llama(), "model.layers.0.mlp.gate_proj.weight").sharding, Sharding::rows);
  EXPECT_EQ(find(llama(), "lm_head.weight").sharding, Sharding::rows);
}

TEST(ParameterTable, DecaysMatricesAndNothingElse) {
  for (const auto& shape : {llama(), gpt2()}) {
    for (const auto& parameter : parameter_table(shape)) {
      const bool vector =
          parameter.name.ends_with(".bias") || parameter.name.find("norm") != std::string::npos;
      EXPECT_EQ(parameter.is_matrix(), !vector) << parameter.name;
      EXPECT_EQ(parameter.decays(), !vector) << parameter.name;
    }
  }
}

TEST(ParameterTable, StartsNormsAtOneBiasesAtZeroAndResidualProjectionsSmaller) {
  for (const auto& shape : {llama(), gpt2()}) {
    for (const auto& parameter : parameter_table(shape)) {
      const auto has = [&](const char* part) {
        return parameter.name.find(part) != std::string::npos;
      };
      if (parameter.name.ends_with(".bias")) {
        EXPECT_EQ(parameter.initializer, Initializer::zeros) << parameter.name;
      } else if (has("norm")) {
        EXPECT_EQ(parameter.initializer, Initializer::ones) << parameter.name;
      } else {
        EXPECT_EQ(parameter.initializer, Initializer::normal) << parameter.name;
        const bool residual = has("o_proj") || has("down_proj");
        const double expected = residual                 ? 0.02 / std::sqrt(2.0 * 3)
                                : has("embed_positions") ? 0.01
                                                         : 0.02;
        EXPECT_DOUBLE_EQ(parameter.deviation, expected) << parameter.name;
      }
    }
  }
}

TEST(ParameterCount, IsTheClosedFormOfALlama) {
  for (const char* name : {"llama-tiny", "llama3-3b", "llama3-8b"}) {
    const Shape s = preset(name);
    const std::int64_t h = s.hidden_size, q = s.query_columns(), kv = s.key_columns();
    const std::int64_t layer = 2 * h * q + 2 * h * kv + 3 * h * s.intermediate_size + 2 * h;
    const std::int64_t tables = s.tie_word_embeddings ? 1 : 2;
    EXPECT_EQ(parameter_count(s), s.num_hidden_layers * layer + tables * s.vocab_size * h + h)
        << name;
  }
}

}  // namespace
}  // namespace trireme::models
