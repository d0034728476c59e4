#include "models/split.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace trireme::models {
namespace {

std::vector<int> counts_of(const std::vector<LayerRange>& stages) {
  std::vector<int> counts;
  for (const LayerRange& stage : stages) counts.push_back(stage.count);
  return counts;
}

Shape model(std::int64_t layers, std::int64_t vocabulary) {
  return {.family = Family::llama,
          .hidden_size = 64,
          .intermediate_size = 128,
          .num_hidden_layers = layers,
          .num_attention_heads = 4,
          .num_key_value_heads = 4,
          .head_dim = 16,
          .vocab_size = vocabulary};
}

std::vector<LayerRange> by_flops(const Shape& shape, int stages) {
  return split_layers(shape, stages, unit_flops(shape, 32));
}

TEST(SplitLayers, GivesEveryLayerOnceInOrder) {
  for (int stages = 1; stages <= 7; ++stages) {
    const auto split = by_flops(model(7, 100), stages);
    ASSERT_EQ(split.size(), static_cast<std::size_t>(stages));
    int next = 0;
    for (std::size_t i = 0; i < split.size(); ++i) {
      EXPECT_EQ(split[i].first, next);
      EXPECT_GE(split[i].count, 1);
      EXPECT_EQ(split[i].embedding, i == 0);
      EXPECT_EQ(split[i].head, i + 1 == split.size());
      next += split[i].count;
    }
    EXPECT_EQ(next, 7);
  }
}

// A head as costly as several layers leaves the last stage fewer of them.
TEST(SplitLayers, CountsTheHead) {
  EXPECT_EQ(counts_of(by_flops(model(8, 2), 4)), (std::vector<int>{2, 2, 2, 2}));
  const auto heavy = counts_of(by_flops(model(12, 3000), 4));
  EXPECT_LT(heavy.back(), heavy.front());
}

// No other split has a cheaper costliest stage.
TEST(SplitLayers, MakesTheCostliestStageAsCheapAsCanBe) {
  const Shape shape = model(9, 700);
  const auto worst = [&](const std::vector<LayerRange>& stages) {
    double most = 0;
    for (const LayerRange& stage : stages) most = std::max(most, unit_flops(shape, 32).of(stage));
    return most;
  };
  const double best = worst(by_flops(shape, 3));
  for (int first = 1; first <= 7; ++first) {
    for (int second = 1; first + second <= 8; ++second) {
      EXPECT_LE(best,
                worst(layers_as_listed(shape, {first, second, 9 - first - second})) * (1 + 1e-9));
    }
  }
}

// A table as costly to look up as three layers has the first stage to itself and one layer.
TEST(SplitLayers, CountsTheEmbedding) {
  const UnitCosts costs{.embedding = 3, .layer = 1, .head = 0.25};
  EXPECT_EQ(counts_of(split_layers(model(9, 100), 3, costs)), (std::vector<int>{1, 4, 4}));
}

TEST(SplitLayers, RefusesMoreStagesThanLayers) {
  EXPECT_THROW(by_flops(model(3, 100), 4), ModelError);
}

TEST(LayersAsListed, TakesAnyThatAddUp) {
  EXPECT_EQ(counts_of(layers_as_listed(model(6, 100), {0, 5, 1})), (std::vector<int>{0, 5, 1}));
  EXPECT_THROW(layers_as_listed(model(6, 100), {2, 3}), ModelError);
  EXPECT_THROW(layers_as_listed(model(6, 100), {7, -1}), ModelError);
}

TEST(UnitsOf, NamesEmbeddingLayersAndHead) {
  const Shape shape = model(4, 100);
  EXPECT_EQ(units_of(shape, {.first = 0, .count = 2, .embedding = true}),
            (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(units_of(shape, {.first = 2, .count = 2, .head = true}), (std::vector<int>{3, 4, 5}));
}

}  // namespace
}  // namespace trireme::models
