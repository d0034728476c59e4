#include "runtime/train/trainer.h"

#include <gtest/gtest.h>

#include <mutex>

#include "schedules/generate.h"
#include "tests/support/corpus.h"
#include "tests/support/model.h"
#include "tests/support/ranks.h"

namespace trireme::runtime {
namespace {

using kernels::Dtype;

TrainerOptions options_for(const models::Shape& shape, int ranks) {
  TrainerOptions options;
  options.model = shape;
  options.mesh.sizes[static_cast<std::size_t>(Axis::data)] = ranks;
  options.schedule = schedules::one_f_one_b({.ranks = 1, .micro_batches = 12 / ranks});
  options.stages = models::layers_as_listed(shape, {static_cast<int>(shape.num_hidden_layers)});
  options.sequence_length = 8;
  options.global_batch = 12;
  options.micro_batch = 1;
  options.steps = 8;
  options.eval_interval = 4;
  options.seed = 7;
  options.learning_rate = {.peak = 1e-2, .minimum = 1e-3, .warmup_steps = 2, .total_steps = 8};
  return options;
}

// What rank 0 saw of a run.
struct Seen {
  std::vector<double> losses, norms, evaluations;
  std::vector<std::vector<double>> parameters;
  Outcome outcome = Outcome::finished;
  std::int64_t optimizer_bytes = 0;
};

Seen train(const test::Corpus& corpus, int ranks, const TrainerOptions& options,
           std::int64_t stop_after = 0) {
  Seen seen;
  std::mutex mutex;
  std::atomic<bool> stop = false;
  const data::Sampler sampler = corpus.sampler(options.sequence_length, 3);
  test::on_ranks(ranks, [&](Communicator& world) {
    test::Device device;
    Trainer trainer(*device.backend, world, sampler, &sampler, options);
    const Outcome outcome = trainer.run(
        {.step =
             [&](const StepRecord& record) {
               // Only the last rank asks: all must hear it.
               if (record.step == stop_after && world.rank() == world.size() - 1) stop = true;
               if (world.rank() != 0) return;
               seen.losses.push_back(record.result.loss);
               seen.norms.push_back(record.result.gradient_norm);
               seen.optimizer_bytes = record.memory.of(kernels::Category::optimizer).current;
             },
         .evaluation =
             [&](std::int64_t, double loss) {
               if (world.rank() == 0) seen.evaluations.push_back(loss);
             }},
        stop);
    std::lock_guard lock(mutex);
    if (world.rank() == 0) seen.outcome = outcome;
    std::vector<double> all;
    for (const auto& slot : trainer.parameters().slots()) {
      const auto values = device.values(trainer.parameters().weight(slot.parameter().name).value);
      all.insert(all.end(), values.begin(), values.end());
    }
    seen.parameters.push_back(all);
  });
  return seen;
}

void expect_close(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_NEAR(a[i], b[i], tolerance * std::abs(b[i])) << i;
}

class TrainerTest : public testing::Test {
 protected:
  test::Corpus corpus{4000, 17, testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(TrainerTest, EveryNumberOfReplicasGivesTheSameLosses) {
  for (const auto& shape : {test::tiny_llama(), test::tiny_gpt2()}) {
    const Seen alone = train(corpus, 1, options_for(shape, 1));
    EXPECT_LT(alone.losses.back(), alone.losses.front());
    EXPECT_EQ(alone.evaluations.size(), 2u);
    for (const int ranks : {2, 3, 4}) {
      SCOPED_TRACE(testing::Message() << ranks << " replicas");
      const Seen seen = train(corpus, ranks, options_for(shape, ranks));
      expect_close(seen.losses, alone.losses, 1e-5);
      expect_close(seen.norms, alone.norms, 1e-3);
      expect_close(seen.evaluations, alone.evaluations, 1e-5);
      for (const auto& parameters : seen.parameters) EXPECT_EQ(parameters, seen.parameters[0]);
      EXPECT_LT(seen.optimizer_bytes, alone.optimizer_bytes);
    }
  }
}

TEST_F(TrainerTest, ZeroStageZeroGivesTheLossesOfStageOne) {
  auto options = options_for(test::tiny_llama(), 3);
  const Seen shared = train(corpus, 3, options);
  options.data_parallel.zero_stage = 0;
  const Seen whole = train(corpus, 3, options);
  expect_close(whole.losses, shared.losses, 1e-6);
  EXPECT_GT(whole.optimizer_bytes, 2 * shared.optimizer_bytes);
}

TEST_F(TrainerTest, MicroBatchSizeDoesNotChangeTheLosses) {
  auto options = options_for(test::tiny_llama(), 2);
  const Seen ones = train(corpus, 2, options);
  options.micro_batch = 3;
  options.schedule = schedules::one_f_one_b({.ranks = 1, .micro_batches = 2});
  expect_close(train(corpus, 2, options).losses, ones.losses, 1e-5);
}

TEST_F(TrainerTest, TheSameRunTwiceGivesTheSameBits) {
  const auto options = options_for(test::tiny_llama(), 3);
  const Seen first = train(corpus, 3, options), second = train(corpus, 3, options);
  EXPECT_EQ(first.losses, second.losses);
  EXPECT_EQ(first.norms, second.norms);
  EXPECT_EQ(first.parameters, second.parameters);
}

TEST_F(TrainerTest, AnotherSeedGivesAnotherRun) {
  auto options = options_for(test::tiny_llama(), 1);
  const Seen first = train(corpus, 1, options);
  options.seed = 8;
  EXPECT_NE(train(corpus, 1, options).losses, first.losses);
}

TEST_F(TrainerTest, HalfPrecisionsFollowFullPrecision) {
  auto options = options_for(test::tiny_llama(), 2);
  const Seen full = train(corpus, 2, options);
  options.compute = Dtype::bf16;
  expect_close(train(corpus, 2, options).losses, full.losses, 2e-2);
  options.compute = Dtype::f16;
  options.loss_scale = optim::LossScale::dynamic(1024, 1000);
  expect_close(train(corpus, 2, options).losses, full.losses, 1e-2);
}

TEST_F(TrainerTest, SkipsStepsWhoseGradientsOverflowAndLowersTheLossScale) {
  auto options = options_for(test::tiny_llama(), 2);
  options.compute = Dtype::f16;
  options.loss_scale = optim::LossScale::dynamic(0x1p24, 1000);
  options.steps = 25;
  const Seen seen = train(corpus, 2, options);
  EXPECT_FALSE(std::isfinite(seen.norms.front()));
  EXPECT_TRUE(std::isfinite(seen.norms.back()));
  EXPECT_EQ(seen.outcome, Outcome::finished);
}

TEST_F(TrainerTest, GivesUpAfterTooManySkippedSteps) {
  auto options = options_for(test::tiny_llama(), 1);
  options.compute = Dtype::f16;
  options.loss_scale = optim::LossScale::dynamic(0x1p24, 1000);
  options.max_skipped_steps = 2;
  options.steps = 25;
  const Seen seen = train(corpus, 1, options);
  EXPECT_EQ(seen.outcome, Outcome::diverged);
  EXPECT_EQ(seen.losses.size(), 3u);
}

TEST_F(TrainerTest, StopsOnEveryRankWhenOneAsks) {
  const Seen seen = train(corpus, 3, options_for(test::tiny_llama(), 3), /*stop_after=*/2);
  EXPECT_EQ(seen.outcome, Outcome::stopped);
  EXPECT_EQ(seen.losses.size(), 3u);
}

TEST_F(TrainerTest, TheSizeOfBucketsDoesNotChangeTheLosses) {
  auto options = options_for(test::tiny_gpt2(), 3);
  const Seen one_bucket = train(corpus, 3, options);
  options.bucket_elements = 1;  // one for every unit
  const Seen many = train(corpus, 3, options);
  expect_close(many.losses, one_bucket.losses, 1e-6);
  for (const auto& parameters : many.parameters) EXPECT_EQ(parameters, many.parameters[0]);
}

TEST(Trainer, MeasuresTheBubbleOfAPipelineTheSameOnEveryRank) {
  const test::Corpus corpus(4000, 17, "bubble");
  const data::Sampler sampler = corpus.sampler(8, 3);
  const std::atomic<bool> stop = false;
  for (const int stages : {1, 2}) {
    TrainerOptions options = options_for(test::tiny_llama(), 1);
    options.mesh.sizes[static_cast<std::size_t>(Axis::pipeline)] = stages;
    options.schedule = schedules::one_f_one_b({.ranks = stages, .micro_batches = 12});
    options.stages =
        models::split_layers(options.model, stages, models::unit_flops(options.model, 8));
    std::mutex mutex;
    std::vector<std::vector<double>> bubbles;
    test::on_ranks(stages, [&](Communicator& world) {
      test::Device device;
      Trainer trainer(*device.backend, world, sampler, nullptr, options);
      std::vector<double> mine;
      trainer.run({.step = [&](const StepRecord& record) { mine.push_back(record.result.bubble); },
                   .evaluation = {}},
                  stop);
      const std::lock_guard lock(mutex);
      bubbles.push_back(mine);
    });
    for (const auto& found : bubbles) EXPECT_EQ(found, bubbles.front());
    for (const double bubble : bubbles.front()) {
      EXPECT_TRUE(stages == 1 ? bubble == 0 : bubble > 0 && bubble < 1) << bubble;
    }
  }
}

}  // namespace
}  // namespace trireme::runtime
