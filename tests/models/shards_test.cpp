#include "models/shards.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "models/random.h"
#include "models/split.h"

namespace trireme::models {
namespace {

Shape odd_llama() {
  return {.family = Family::llama,
          .hidden_size = 12,
          .intermediate_size = 24,
          .num_hidden_layers = 5,
          .num_attention_heads = 8,
          .num_key_value_heads = 2,
          .head_dim = 6,
          .vocab_size = 19,
          .tie_word_embeddings = false,
          .attention_bias = true};
}

const Parameter& named(const std::vector<Parameter>& table, const std::string& name) {
  for (const Parameter& parameter : table) {
    if (parameter.name == name) return parameter;
  }
  throw std::out_of_range(name);
}

// All elements once, whatever the number of ranks; copies cover the same ones.
TEST(SliceOf, CoversEveryElement) {
  for (const Parameter& parameter : parameter_table(odd_llama())) {
    for (const int ranks : {1, 2, 4, 8}) {
      SCOPED_TRACE(testing::Message() << parameter.name << " on " << ranks);
      std::map<std::pair<std::int64_t, std::int64_t>, int> seen;
      for (int rank = 0; rank < ranks; ++rank) {
        const Slice slice = slice_of(parameter, rank, ranks);
        if (slice.copy > 0) continue;
        for (std::int64_t r = 0; r < slice.rows; ++r) {
          for (std::int64_t c = 0; c < slice.columns; ++c) {
            ++seen[{slice.first_row + r, slice.first_column + c}];
          }
        }
      }
      EXPECT_EQ(static_cast<std::int64_t>(seen.size()), parameter.size());
      for (const auto& [place, times] : seen) EXPECT_EQ(times, 1);
    }
  }
}

TEST(SliceOf, KeepsHeadsWhole) {
  const auto table = parameter_table(odd_llama());
  const Slice queries = slice_of(named(table, "model.layers.0.self_attn.q_proj.weight"), 1, 4);
  EXPECT_EQ(queries.first_row, 12);
  EXPECT_EQ(queries.rows, 12);
  const Slice out = slice_of(named(table, "model.layers.0.self_attn.o_proj.weight"), 1, 4);
  EXPECT_EQ(out.first_column, 12);
  EXPECT_EQ(out.columns, 12);
}

TEST(SliceOf, CopiesKeyAndValueHeadsWhereRanksOutnumberThem) {
  const auto table = parameter_table(odd_llama());
  const Parameter& keys = named(table, "model.layers.0.self_attn.k_proj.weight");
  for (int rank = 0; rank < 8; ++rank) {
    const Slice slice = slice_of(keys, rank, 8);
    EXPECT_EQ(slice.first_row, rank / 4 * 6);
    EXPECT_EQ(slice.rows, 6);
    EXPECT_EQ(slice.copies, 4);
    EXPECT_EQ(slice.copy, rank % 4);
  }
}

TEST(SliceOf, SharesOutAVocabularyThatDoesNotComeOutEven) {
  const auto table = parameter_table(odd_llama());
  std::vector<std::int64_t> rows;
  for (int rank = 0; rank < 4; ++rank) {
    rows.push_back(slice_of(named(table, kEmbeddingTable), rank, 4).rows);
  }
  EXPECT_EQ(rows, (std::vector<std::int64_t>{5, 5, 5, 4}));
}

TEST(SliceOf, RefusesBlocksThatRanksCannotShare) {
  const auto table = parameter_table(odd_llama());
  EXPECT_THROW(slice_of(named(table, "model.layers.0.self_attn.k_proj.weight"), 0, 3), ModelError);
}

TEST(InitialValues, OfASliceAreThoseOfTheWhole) {
  const auto table = parameter_table(odd_llama());
  for (const char* name :
       {"model.layers.1.mlp.down_proj.weight", "model.layers.1.mlp.up_proj.weight"}) {
    const Parameter& parameter = named(table, name);
    std::vector<float> whole(static_cast<std::size_t>(parameter.size()));
    initial_values(parameter, 3, 0, whole);
    const Slice slice = slice_of(parameter, 2, 4);
    std::vector<float> part(static_cast<std::size_t>(slice.size()));
    initial_values(parameter, slice, 3, part);
    for (std::int64_t r = 0; r < slice.rows; ++r) {
      for (std::int64_t c = 0; c < slice.columns; ++c) {
        const std::int64_t place =
            (slice.first_row + r) * parameter.columns + slice.first_column + c;
        EXPECT_EQ(part[static_cast<std::size_t>(r * slice.columns + c)],
                  whole[static_cast<std::size_t>(place)]);
      }
    }
  }
}

// Over all ranks of a replica every element is counted once.
TEST(ShardsOf, CountEveryElementOnce) {
  for (const bool tied : {false, true}) {
    Shape shape = odd_llama();
    shape.tie_word_embeddings = tied;
    for (const int tensor : {1, 2, 8}) {
      for (const int stages : {1, 2, 5}) {
        SCOPED_TRACE(testing::Message() << tensor << " x " << stages << (tied ? ", tied" : ""));
        std::int64_t counted = 0;
        for (const LayerRange& layers : split_layers(shape, stages, unit_flops(shape, 8))) {
          for (int rank = 0; rank < tensor; ++rank) {
            for (const auto& shards : shards_of(shape, {units_of(shape, layers)}, rank, tensor)) {
              for (const Shard& shard : shards) {
                if (shard.is_counted) counted += shard.slice.size();
              }
            }
          }
        }
        EXPECT_EQ(counted, parameter_count(shape));
      }
    }
  }
}

TEST(ShardsOf, ATiedTableIsOnBothEnds) {
  Shape shape = odd_llama();
  shape.tie_word_embeddings = true;
  const int head = unit_count(shape) - 1;
  const auto table_of = [&](const UnitsByStage& stages) {
    for (const auto& shards : shards_of(shape, stages, 0, 1)) {
      for (const Shard& shard : shards) {
        if (shard.parameter.name == kEmbeddingTable) return shard;
      }
    }
    return Shard();
  };
  const Shard first = table_of({{0, 1}}), last = table_of({{5, head}}),
              both = table_of({{0}, {head}});
  EXPECT_TRUE(first.shared_by_stages && first.is_counted);
  EXPECT_TRUE(last.shared_by_stages && !last.is_counted);
  EXPECT_EQ(last.units, std::vector<int>{head});
  EXPECT_FALSE(both.shared_by_stages);
  EXPECT_EQ(both.units, (std::vector<int>{0, head}));
}

}  // namespace
}  // namespace trireme::models
