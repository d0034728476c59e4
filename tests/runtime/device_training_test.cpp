// Training on another device than the processor: the same losses, and every layout those of one
// rank. Linked with each backend but the processor's own.
#include "runtime/comm/local_world.h"
#include "tests/runtime/saved_run.h"
#include "tests/support/model.h"

namespace trireme::runtime {
namespace {

using kernels::Dtype;

class DeviceTrainingTest : public testing::Test {
 protected:
  std::vector<double> losses(kernels::Backend& backend, Communicator& world,
                             const TrainerOptions& options) {
    std::vector<double> losses;
    const std::atomic<bool> stop = false;
    const data::Sampler sampler = corpus.sampler(options.sequence_length, 3);
    Trainer trainer(backend, world, sampler, nullptr, options);
    trainer.run({.step = [&](const StepRecord& record) { losses.push_back(record.result.loss); },
                 .evaluation = {}},
                stop);
    return losses;
  }

  std::vector<double> on_the_processor(const TrainerOptions& options) {
    const auto backend = kernels::make_cpu_backend({.threads = 1});
    return losses(*backend, *make_local_world(1).front(), options);
  }

  std::vector<double> on_the_device(const TrainerOptions& options) {
    std::vector<double> found;
    test::on_ranks(1, [&](Communicator& world) {
      test::Device device;
      found = losses(*device.backend, world, options);
    });
    return found;
  }

  void expect_the_same_losses(const models::Shape& shape, Dtype compute, double tolerance) {
    TrainerOptions options = options_of({.shape = shape, .global_batch = 4, .steps = 20}, {});
    options.eval_interval = 0;
    options.compute = compute;
    const auto found = on_the_device(options), expected = on_the_processor(options);
    ASSERT_EQ(found.size(), 20u);
    EXPECT_LT(expected.back(), expected.front());
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i], expected[i], tolerance * expected[i]) << "step " << i + 1;
    }
  }

  test::Corpus corpus{4000, 17, testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(DeviceTrainingTest, TwentyStepsOfLlamaAreThoseOfTheProcessor) {
  expect_the_same_losses(test::tiny_llama(), Dtype::f32, 1e-5);
  expect_the_same_losses(test::tiny_llama(), Dtype::bf16, 1e-2);
}

// An allocation by the system may wait for all streams of a device, and so for other ranks. With
// one rank alone nothing depends on when a message has gone.
TEST_F(DeviceTrainingTest, TakesNoMemoryFromTheSystemAfterTheFirstStep) {
  TrainerOptions options = options_of({.shape = test::tiny_llama(), .steps = 6}, {});
  options.eval_interval = 0;
  test::on_ranks(1, [&](Communicator& world) {
    test::Device device;
    const std::atomic<bool> stop = false;
    const data::Sampler sampler = corpus.sampler(options.sequence_length, 3);
    Trainer trainer(*device.backend, world, sampler, nullptr, options);
    std::vector<std::int64_t> reserved;
    const auto observe = [&](const StepRecord& record) {
      reserved.push_back(record.memory.reserved);
    };
    trainer.run({.step = observe, .evaluation = {}}, stop);
    EXPECT_EQ(reserved, std::vector<std::int64_t>(6, reserved.front()));
  });
}

TEST_F(DeviceTrainingTest, TwentyStepsOfGpt2AreThoseOfTheProcessor) {
  expect_the_same_losses(test::tiny_gpt2(), Dtype::f32, 1e-5);
}

TEST_F(DeviceTrainingTest, ACheckpointGoesOnOnTheProcessorAndBack) {
  TrainerOptions options = options_of({.shape = test::tiny_llama(), .global_batch = 4}, {});
  options.eval_interval = 0;
  options.checkpoint_interval = 3;
  const data::Sampler sampler = corpus.sampler(options.sequence_length, 3);
  const auto run = [&](bool on_device, std::int64_t resume, std::int64_t steps) {
    options.steps = steps;
    const SavedRun saved{.options = options, .folder = corpus.folder() / "saved", .resume = resume};
    SavedRunResult result;
    if (on_device) {
      result = train_and_save(corpus, saved);
    } else {
      const auto backend = kernels::make_cpu_backend({.threads = 1});
      run_rank(saved, *backend, *make_local_world(1).front(), sampler, result);
    }
    EXPECT_EQ(result.failure, "");
    return result.losses;
  };
  const std::vector<double> expected = run(false, 0, 9);
  std::vector<double> found = run(true, 0, 3);
  for (const auto& part : {run(false, 3, 6), run(true, 6, 9)}) {
    found.insert(found.end(), part.begin(), part.end());
  }
  ASSERT_EQ(found.size(), 9u);
  for (std::size_t i = 0; i < 9; ++i) {
    EXPECT_NEAR(found[i], expected[i], 1e-5 * expected[i]) << "step " << i + 1;
  }
}

TEST_F(DeviceTrainingTest, LayoutsAreThoseOfOneRank) {
  const Task task{.shape = test::tiny_llama(), .global_batch = 4, .steps = 2};
  const RunResult alone = run_layout(corpus, task, {});
  for (const Layout& layout : {Layout{.tensor = 2, .pipeline = 2, .kind = "1f1b"},
                               Layout{.data = 2, .recompute = Recompute::full},
                               Layout{.pipeline = 2, .kind = "zb-h1", .post_validation = true}}) {
    SCOPED_TRACE(layout.name());
    expect_same_run(run_layout(corpus, task, layout), alone);
  }
}

}  // namespace
}  // namespace trireme::runtime
