#include "schedules/generate.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "schedules/check.h"
#include "schedules/memory.h"
#include "tests/schedules/error_of.h"
#include "tests/schedules/generators.h"
#include "tests/schedules/random_schedule.h"

namespace trireme::schedules {
namespace {

const std::vector<std::string> kNothing;

class GeneratorTest : public testing::TestWithParam<Generator> {};

TEST_P(GeneratorTest, MakesSchedulesThatRun) {
  std::mt19937 dice(11);
  for (const PipelineShape& shape : shapes_of(GetParam(), 9, 20)) {
    SCOPED_TRACE(text_of(shape));
    const Schedule schedule = GetParam().generate(shape);
    EXPECT_EQ(schedule.placement.ranks, shape.ranks);
    EXPECT_EQ(schedule.placement.stages, shape.ranks * shape.virtual_stages);
    EXPECT_EQ(schedule.micro_batches, shape.micro_batches);
    ASSERT_EQ(problems_of(schedule), kNothing);
    const Costs costs = random_costs(schedule.placement, dice);
    const Timeline timeline = simulate(schedule, costs);
    EXPECT_GE(timeline.makespan(),
              makespan_lower_bound(schedule.placement, shape.micro_batches, costs) - 1e-9);
    EXPECT_GE(timeline.span(),
              span_lower_bound(schedule.placement, shape.micro_batches, costs) - 1e-9);
  }
}

TEST_P(GeneratorTest, DependsOnNothingButTheShape) {
  for (const PipelineShape& shape : shapes_of(GetParam(), 4, 8)) {
    EXPECT_EQ(GetParam().generate(shape).ranks, GetParam().generate(shape).ranks);
  }
}

TEST_P(GeneratorTest, GivesItsScheduleAName) {
  const PipelineShape shape = shapes_of(GetParam(), 4, 8).back();
  EXPECT_FALSE(GetParam().generate(shape).kind.empty());
}

// One rank has nobody to wait for.
TEST_P(GeneratorTest, KeepsASingleRankBusy) {
  for (const PipelineShape& shape : shapes_of(GetParam(), 1, 12)) {
    const Schedule schedule = GetParam().generate(shape);
    const Timeline timeline = simulate(schedule, Costs::even(schedule.placement, {1, 2, 3}, 9));
    EXPECT_NEAR(timeline.makespan(), 6.0 * shape.micro_batches, 1e-9) << text_of(shape);
  }
}

TEST_P(GeneratorTest, RefusesCountsBelowOne) {
  const PipelineShape good = shapes_of(GetParam(), 2, 8).back();
  const auto refusal = [&](PipelineShape shape) {
    return error_of([&] { GetParam().generate(shape); });
  };
  PipelineShape shape = good;
  shape.ranks = 0;
  expect_says(refusal(shape), "ranks must be at least 1, got 0");
  shape = good;
  shape.micro_batches = -3;
  expect_says(refusal(shape), "micro-batches must be at least 1, got -3");
  shape = good;
  shape.virtual_stages = 0;
  expect_says(refusal(shape), "virtual stages must be at least 1, got 0");
  shape = good;
  shape.group_size = -1;
  expect_says(refusal(shape), "group size must be at least 1, or 0");
}

INSTANTIATE_TEST_SUITE_P(Kinds, GeneratorTest, testing::ValuesIn(generators()),
                         [](const auto& one) { return one.param.name; });

TEST(Generators, SayEverythingThatIsWrongWithCounts) {
  const std::string error = error_of([] { interleaved({0, 0, 0, -1}); });
  for (const char* words :
       {"ranks must", "micro-batches must", "virtual stages must", "group size"}) {
    expect_says(error, words);
  }
}

TEST(Generators, RefuseChunksThatTheyDoNotRun) {
  for (const Generator& generator : generators()) {
    if (generator.virtual_stages.size() > 1) continue;
    PipelineShape shape = shapes_of(generator, 2, 8).back();
    const bool one = shape.virtual_stages == 1;
    shape.virtual_stages = 3;
    expect_says(
        error_of([&] { generator.generate(shape); }),
        one ? "runs 1 virtual stage per rank; got 3" : "runs 2 virtual stages per rank; got 3");
  }
}

TEST(DualPipe, NamesTheShapesThatItTakes) {
  for (const PipelineShape shape :
       {PipelineShape{3, 8}, PipelineShape{4, 9}, PipelineShape{4, 6}}) {
    const std::string error = error_of([&] { dual_pipe(shape); });
    expect_says(error, "an even number of ranks and an even number of micro-batches");
    expect_says(error, "at least twice the ranks");
    expect_says(error, "got " + std::to_string(shape.ranks) + " ranks and " +
                           std::to_string(shape.micro_batches) + " micro-batches");
  }
  expect_says(error_of([] { dual_pipe_v({4, 7, 2}); }), "8 for 4 ranks; got 7");
}

TEST(GroupInterleaved, TakesGroupsOfHalfTheRanksToAll) {
  for (int ranks = 1; ranks <= 9; ++ranks) {
    const int smallest = (ranks + 1) / 2;
    for (int micro_batches : {1, 2, 5, 12, 17}) {
      for (int group = smallest; group <= ranks; ++group) {
        for (int chunks : {1, 2, 4}) {
          const PipelineShape shape{ranks, micro_batches, chunks, group};
          SCOPED_TRACE(text_of(shape));
          const Schedule schedule = group_interleaved(shape);
          ASSERT_EQ(problems_of(schedule), kNothing);
          const auto peaks = peak_memory(schedule, {});
          EXPECT_LE(*std::max_element(peaks.begin(), peaks.end()),
                    std::max<double>(group, ranks) + 1e-9);
        }
      }
    }
    const std::string range = std::to_string(smallest) + " to " + std::to_string(ranks);
    expect_says(error_of([&] { group_interleaved({ranks, 8, 2, ranks + 1}); }), range);
    if (smallest == 1) continue;
    expect_says(error_of([&] { group_interleaved({ranks, 8, 2, smallest - 1}); }), range);
  }
}

class Grouped : public testing::TestWithParam<Generator> {};

// The last group may be smaller than the others, but not than the ranks: they would wait for each
// other for ever.
TEST_P(Grouped, TakesGroupsThatAllRanksCanWorkOn) {
  for (int ranks = 1; ranks <= 6; ++ranks) {
    for (int micro_batches = 1; micro_batches <= 16; ++micro_batches) {
      for (int group = 1; group <= micro_batches + 1; ++group) {
        for (const int chunks : {2, 3}) {
          const PipelineShape shape{ranks, micro_batches, chunks, group};
          SCOPED_TRACE(text_of(shape));
          const int rest = micro_batches % group;
          if (group >= micro_batches || (group >= ranks && (rest == 0 || rest >= ranks))) {
            const Schedule schedule = GetParam().generate(shape);
            ASSERT_EQ(problems_of(schedule), kNothing);
            simulate(schedule, Costs::even(schedule.placement, {}, 0.1));
          } else {
            expect_says(error_of([&] { GetParam().generate(shape); }),
                        "takes groups of at least " + std::to_string(ranks) +
                            " micro-batches, the last one too, or one group of all " +
                            std::to_string(micro_batches));
          }
        }
      }
    }
  }
}

// The first actions of the first rank say how many micro-batches pass a chunk together.
TEST_P(Grouped, PassesAChunkInGroupsOfTheSizeAsked) {
  for (const int group : {4, 6, 8}) {
    const Schedule schedule = GetParam().generate({4, 12, 2, group});
    for (int i = 0; i < group; ++i) {
      EXPECT_EQ(schedule.ranks[0][static_cast<std::size_t>(i)],
                (Action{.pass = Pass::forward, .stage = 0, .micro_batch = i}));
    }
    EXPECT_EQ(schedule.ranks[0][static_cast<std::size_t>(group)],
              (Action{.pass = Pass::forward, .stage = 4, .micro_batch = 0}));
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, Grouped,
                         testing::Values(generator_named("interleaved"),
                                         generator_named("interleaved_zb"),
                                         generator_named("interleaved_zb_h2")),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace trireme::schedules
