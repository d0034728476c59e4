// Updates that are made before all gradients are known, and taken back if they were wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "runtime/comm/staged_communicator.h"
#include "tests/runtime/layout_run.h"
#include "tests/support/forwarding_communicator.h"
#include "tests/support/model.h"

namespace trireme::runtime {
namespace {

class PostValidationTest : public testing::Test {
 protected:
  static TrainerOptions options_for(const Layout& layout, bool tied = false) {
    Task task{.shape = test::tiny_llama(), .steps = 12};
    task.shape.num_hidden_layers = 6;
    task.shape.tie_word_embeddings = tied;
    TrainerOptions options = options_of(task, layout);
    options.eval_interval = 5;
    return options;
  }

  // Runs with post-validation and without; returns the first. They must not differ in one bit.
  RunResult expect_same_bits(TrainerOptions options) {
    options.post_validation = false;
    const RunResult expected = run_with(corpus, options);
    options.post_validation = true;
    const RunResult found = run_with(corpus, options);
    EXPECT_EQ(found.losses, expected.losses);
    EXPECT_EQ(bits(found.norms), bits(expected.norms));
    EXPECT_EQ(found.evaluations, expected.evaluations);
    EXPECT_EQ(found.skipped, expected.skipped);
    EXPECT_EQ(found.weights, expected.weights);
    EXPECT_EQ(expected.taken_back, 0);
    return found;
  }

  static std::vector<std::uint64_t> bits(const std::vector<double>& numbers) {
    std::vector<std::uint64_t> all;
    for (const double number : numbers) all.push_back(std::bit_cast<std::uint64_t>(number));
    return all;
  }

  // Between the norms of a run, so that some steps are clipped and some are not.
  double middle_norm(TrainerOptions options) {
    options.clip_norm = 0;
    auto norms = run_with(corpus, options).norms;
    std::ranges::nth_element(norms, norms.begin() + 5);
    return norms[5];
  }

  test::Corpus corpus{4000, 17, testing::UnitTest::GetInstance()->current_test_info()->name()};
};

const std::vector<Layout> kLayouts{
    {.pipeline = 2},
    {.pipeline = 3, .kind = "zb-h1"},
    {.pipeline = 2, .data = 2, .kind = "zb-v"},
    {.tensor = 2, .pipeline = 2, .kind = "zb-h2", .recompute = Recompute::full},
    {.pipeline = 3, .data = 2, .kind = "interleaved", .virtual_stages = 2, .zero_stage = 0},
    {.pipeline = 2, .kind = "gpipe"},
};

TEST_F(PostValidationTest, ChangesNothingWhereNothingIsClipped) {
  for (const Layout& layout : kLayouts) {
    SCOPED_TRACE(layout.name());
    TrainerOptions options = options_for(layout);
    options.clip_norm = 0;
    EXPECT_EQ(expect_same_bits(options).taken_back, 0);
  }
}

TEST_F(PostValidationTest, TakesBackUpdatesThatHadToBeClipped) {
  for (const Layout& layout : kLayouts) {
    SCOPED_TRACE(layout.name());
    TrainerOptions options = options_for(layout);
    options.clip_norm = middle_norm(options);
    EXPECT_GT(expect_same_bits(options).taken_back, 0);
  }
}

// Through host memory, what a rank gathers comes back late, its own part too.
TEST_F(PostValidationTest, TakesBackUpdatesThatAreGatheredThroughHostMemory) {
  TrainerOptions options = options_for({.pipeline = 2, .data = 2, .kind = "zb-v"});
  options.clip_norm = middle_norm(options);
  const RunResult expected = run_with(corpus, options);
  options.post_validation = true;
  const RunResult found = run_with(corpus, options, make_staged);
  EXPECT_GT(found.taken_back, 0);
  EXPECT_EQ(found.losses, expected.losses);
  EXPECT_EQ(found.weights, expected.weights);
}

TEST_F(PostValidationTest, WithATableOnBothEnds) {
  TrainerOptions options = options_for({.pipeline = 3, .data = 2, .kind = "1f1b"}, /*tied=*/true);
  options.clip_norm = middle_norm(options);
  EXPECT_GT(expect_same_bits(options).taken_back, 0);
}

// The scale grows until gradients overflow: that step is skipped, and its guess was wrong.
TEST_F(PostValidationTest, TakesBackUpdatesWithGradientsThatAreNotFinite) {
  for (const Layout& layout : {kLayouts[0], kLayouts[2]}) {
    SCOPED_TRACE(layout.name());
    TrainerOptions options = options_for(layout);
    options.compute = kernels::Dtype::f16;
    options.clip_norm = 0;
    options.loss_scale = optim::LossScale::dynamic(1 << 16, 2);
    const RunResult found = expect_same_bits(options);
    EXPECT_GT(found.skipped, 0);
    EXPECT_GT(found.taken_back, 0);
  }
}

// The last parameters are those of the last step that was reported.
TEST_F(PostValidationTest, StopsAfterAWholeStep) {
  TrainerOptions options = options_for(kLayouts[0]);
  options.clip_norm = 0;
  options.eval_interval = 0;
  options.post_validation = true;
  RunResult stopped;
  std::mutex mutex;
  const data::Sampler sampler = corpus.sampler(options.sequence_length, 3);
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    Trainer trainer(*device.backend, world, sampler, nullptr, options);
    std::atomic<bool> stop = false;
    const auto observe = [&](const StepRecord& record) {
      stop = stop || (world.rank() == 1 && record.step == 4);
      if (world.rank() == 0) stopped.losses.push_back(record.result.loss);
    };
    EXPECT_EQ(trainer.run({.step = observe, .evaluation = {}}, stop), Outcome::stopped);
    const std::lock_guard lock(mutex);
    for (const auto& slot : trainer.parameters().slots()) {
      add_slice(stopped, slot.shard,
                device.values(trainer.parameters().weight(slot.parameter().name).value));
    }
  });
  ASSERT_GE(stopped.losses.size(), 5u);
  ASSERT_LT(stopped.losses.size(), 12u);
  options.steps = static_cast<std::int64_t>(stopped.losses.size());
  options.post_validation = false;
  const RunResult expected = run_with(corpus, options);
  EXPECT_EQ(stopped.losses, expected.losses);
  EXPECT_EQ(stopped.weights, expected.weights);
}

// Messages of the first stage to the second, and what the second does not say before it has seen
// the next step begin.
struct Watch {
  std::int64_t micro_batches = 0;
  std::atomic<std::int64_t> messages = 0;
  std::atomic<int> seen = 0;

  // The totals of step `step` are held back until a message of the next step comes.
  void hold_totals(std::int64_t step) {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (messages <= step * micro_batches) {
      if (std::chrono::steady_clock::now() > patience) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ++seen;
  }
};

class WatchedCommunicator final : public test::ForwardingCommunicator {
 public:
  template <class Inner>
  WatchedCommunicator(Inner&& inner, Watch& watch)
      : ForwardingCommunicator(std::forward<Inner>(inner)), watch_(watch) {}

  void all_reduce(kernels::Stream& stream, kernels::View data) override {
    // The first step has none before it to go by, the last none behind it.
    if (name() == "totals" && rank() == 1 && ++steps_ > 1 && steps_ < 6) watch_.hold_totals(steps_);
    ForwardingCommunicator::all_reduce(stream, data);
  }
  void exchange(kernels::Stream& stream, std::span<const Message> sends,
                std::span<const Message> receives) override {
    if (name() == "pipeline 0 to 1" && !sends.empty()) ++watch_.messages;
    ForwardingCommunicator::exchange(stream, sends, receives);
  }

 private:
  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> group) override {
    return std::make_unique<WatchedCommunicator>(std::move(group), watch_);
  }

  Watch& watch_;
  std::int64_t steps_ = 0;
};

TEST_F(PostValidationTest, RanksBeginTheNextStepBeforeOthersHaveEndedTheLast) {
  TrainerOptions options = options_for({.pipeline = 2});
  options.clip_norm = 0;
  options.steps = 6;
  options.eval_interval = 0;
  options.post_validation = true;
  Watch watch{.micro_batches = options.schedule.micro_batches};
  const data::Sampler sampler = corpus.sampler(options.sequence_length, 3);
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    WatchedCommunicator watched(world, watch);
    Trainer trainer(*device.backend, watched, sampler, nullptr, options);
    const std::atomic<bool> stop = false;
    trainer.run({.step = [](const StepRecord&) {}, .evaluation = {}}, stop);
  });
  EXPECT_EQ(watch.seen, 4);
}

}  // namespace
}  // namespace trireme::runtime
