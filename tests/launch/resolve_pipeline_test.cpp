#include "launch/resolve_pipeline.h"

#include "tests/launch/resolve_cases.h"

namespace trireme::launch {
namespace {

class ResolvePipelineTest : public ResolveTest {};

TEST_F(ResolvePipelineTest, ChoosesTheScheduleAndSharesOutTheLayers) {
  const std::vector<std::string> settings{"model.num_hidden_layers=7", "parallel.pipeline=3",
                                          "schedule.kind=interleaved", "schedule.virtual_stages=2"};
  const auto [loaded, options] = resolved(kSmallRun, settings, 3);
  expect_no_problems(loaded);
  EXPECT_EQ(options.schedule.kind, "interleaved");
  EXPECT_EQ(options.schedule.placement.ranks, 3);
  EXPECT_EQ(options.schedule.micro_batches, 16);
  ASSERT_EQ(options.stages.size(), 6u);
  int layers = 0;
  for (const models::LayerRange& stage : options.stages) {
    EXPECT_EQ(stage.first, layers);
    EXPECT_GE(stage.count, 1);
    layers += stage.count;
  }
  EXPECT_EQ(layers, 7);
  EXPECT_TRUE(options.stages.front().embedding);
  EXPECT_TRUE(options.stages.back().head);
}

TEST_F(ResolvePipelineTest, GoesByTheCostsItIsGiven) {
  auto [loaded, options] = resolved(kSmallRun,
                                    {"model.num_hidden_layers=8", "parallel.pipeline=2",
                                     "schedule.kind=auto", "schedule.virtual_stages=1"},
                                    2);
  expect_no_problems(loaded);
  EXPECT_EQ(options.stages.front().count, 4);
  const models::UnitCosts measured{.embedding = 4, .layer = 1, .head = 0};
  options.costs = {.forward = measured, .backward_input = measured, .backward_weight = measured};
  resolve_pipeline(loaded, options);
  expect_no_problems(loaded);
  EXPECT_EQ(options.stages.front().count, 2);
  EXPECT_EQ(options.stages.back().count, 6);
}

// Sizes that are wrong say nothing about the layout, and all others do.
TEST_F(ResolvePipelineTest, SaysWhatIsWrongWithTheLayoutOfAWrongModel) {
  const std::vector<std::string> layout{"parallel.pipeline=3", "parallel.tensor=5",
                                        "train.global_batch_size=7"};
  const auto problems = [&](const std::string& setting) {
    auto settings = layout;
    settings.push_back(setting);
    return resolved(kSmallRun, settings, 15).loaded;
  };
  const LoadedConfig heads = problems("model.num_attention_heads=5");
  EXPECT_EQ(heads.problems.size(), 4u) << ConfigError(heads.problems).what();
  expect_says(problem_with(heads, "model.num_attention_heads").rule, "must divide hidden_size");
  expect_says(problem_with(heads, "train.global_batch_size").rule, "nearest: 6, 8");
  EXPECT_EQ(problem_with(heads, "parallel.tensor").rule,
            "must divide intermediate_size = 96, and divide micro_batch_size * seq_length = 512 "
            "(or set parallel.sequence = false); valid: 1, 2, 4, 8, 16, 32");
  expect_says(problem_with(heads, "parallel.pipeline").rule, "3 stages need a layer each");
  const LoadedConfig layers = problems("model.num_hidden_layers=0");
  EXPECT_EQ(layers.problems.size(), 3u) << ConfigError(layers.problems).what();
  expect_says(problem_with(layers, "parallel.tensor").rule, "num_attention_heads = 4");
}

TEST_F(ResolvePipelineTest, RunsThePassesOfAPairOneAfterTheOther) {
  const auto [loaded, options] =
      resolved(kSmallRun,
               {"model.num_hidden_layers=4", "parallel.pipeline=2", "schedule.kind=dualpipe-v"}, 2);
  expect_no_problems(loaded);
  EXPECT_EQ(options.schedule.kind, "dualpipe-v");
  for (const auto& actions : options.schedule.ranks) {
    for (const schedules::Action& action : actions) EXPECT_FALSE(action.overlaps_next);
  }
}

TEST_F(ResolvePipelineTest, ValidatesLaterOnlyWhereThereAreSeveralStages) {
  const std::string key = "optimizer.post_validation=true";
  EXPECT_FALSE(resolved(kSmallRun, {key}, 1).options.post_validation);
  EXPECT_TRUE(resolved(kSmallRun, {key, "parallel.pipeline=2"}, 2).options.post_validation);
  EXPECT_FALSE(resolved(kSmallRun, {"parallel.pipeline=2"}, 2).options.post_validation);
}

TEST_F(ResolvePipelineTest, TakesLayersAsListed) {
  const std::vector<std::string> settings{"model.num_hidden_layers=5", "parallel.pipeline=2",
                                          "schedule.split=[1, 4]"};
  const auto [loaded, options] = resolved(kSmallRun, settings, 2);
  expect_no_problems(loaded);
  EXPECT_EQ(options.stages[1].first, 1);
  EXPECT_EQ(options.stages[1].count, 4);
  const Problem sum =
      problem("schedule.split", {"parallel.pipeline=2", "schedule.split=[1, 4]"}, 2);
  expect_says(sum.rule, "add up to 5, the model has 2");
  const Problem count = problem("schedule.split", {"parallel.pipeline=2", "schedule.split=[2]"}, 2);
  expect_says(count.rule, "each of the 2 stages");
}

TEST_F(ResolvePipelineTest, RefusesLayoutsThatCannotBeAndNamesThoseThatCan) {
  expect_says(problem("parallel.tensor", {"parallel.tensor=3"}, 3).rule,
              "must divide num_attention_heads = 4");
  expect_says(problem("parallel.tensor", {"parallel.tensor=8"}, 8).rule, "valid: 1, 2, 4");
  expect_says(problem("parallel.tensor",
                      {"parallel.tensor=4", "train.seq_length=13", "train.micro_batch_size=2"}, 4)
                  .rule,
              "divide micro_batch_size * seq_length = 26");
  expect_no_problems(resolved(kSmallRun,
                              {"parallel.tensor=4", "train.seq_length=13",
                               "train.micro_batch_size=2", "parallel.sequence=false"},
                              4)
                         .loaded);
  expect_says(problem("parallel.pipeline", {"parallel.pipeline=4"}, 4).rule,
              "4 stages need a layer each, the model has 2");
  expect_says(problem("schedule.virtual_stages",
                      {"parallel.pipeline=2", "schedule.kind=zb-v", "schedule.virtual_stages=1"}, 2)
                  .rule,
              "must be 2 for zb-v");
  // More stages than an int has room for.
  expect_says(problem("parallel.pipeline",
                      {"parallel.pipeline=4", "schedule.kind=interleaved",
                       "schedule.virtual_stages=1073741824"},
                      4)
                  .rule,
              "4294967296 stages need a layer each");
  expect_says(problem("schedule.kind",
                      {"parallel.pipeline=2", "schedule.kind=gpipe",
                       "train.global_batch_size=1073741824", "train.micro_batch_size=1"},
                      2)
                  .rule,
              "more than 50000000 forward passes");
  expect_says(problem("schedule.file", {"parallel.pipeline=2", "schedule.kind=file"}, 2).rule,
              "required");
}

}  // namespace
}  // namespace trireme::launch
