#include "runtime/pipeline/executor.h"

#include <gtest/gtest.h>

#include "kernels/check.h"
#include "kernels/synthetic/synthetic_backend.h"
#include "schedules/catalog.h"
#include "schedules/memory.h"
#include "schedules/passes.h"
#include "tests/runtime/random_passes.h"
#include "tests/support/device.h"
#include "tests/support/ranks.h"

namespace trireme::runtime {
namespace {

using kernels::Dtype;
using kernels::Tensor;
using schedules::Program;
using schedules::Schedule;

const Executor::MessageFormat kMessage{.shape = {3, 4}, .dtype = Dtype::f32};

// Which micro-batch and stage a tensor comes from, as a number in it.
double stamp(int stage, int micro_batch, bool gradient) {
  return 1000 * micro_batch + 2 * stage + (gradient ? 1 : 0);
}

// Stamps what it hands on, and checks what it is given.
class StampingPasses final : public Passes {
 public:
  StampingPasses(test::Device& device, const Schedule& schedule)
      : device_(device), last_(schedule.placement.stages - 1) {}

  Tensor forward(int stage, int micro_batch, Tensor x) override {
    if (stage > 0) expect_stamp(x, stamp(stage - 1, micro_batch, false));
    ran_.push_back({.pass = schedules::Pass::forward, .stage = stage, .micro_batch = micro_batch});
    return stage < last_ ? stamped(stamp(stage, micro_batch, false)) : Tensor();
  }
  void drop(int, int) override { ++dropped; }
  void recompute(int stage, int micro_batch) override {
    ran_.push_back(
        {.pass = schedules::Pass::recompute, .stage = stage, .micro_batch = micro_batch});
  }
  Tensor backward_input(int stage, int micro_batch, Tensor d_out) override {
    return gradient(schedules::Pass::backward_input, stage, micro_batch, std::move(d_out));
  }
  void backward_weight(int stage, int micro_batch) override {
    ran_.push_back(
        {.pass = schedules::Pass::backward_weight, .stage = stage, .micro_batch = micro_batch});
  }
  Tensor backward(int stage, int micro_batch, Tensor d_out) override {
    return gradient(schedules::Pass::backward, stage, micro_batch, std::move(d_out));
  }

  const std::vector<schedules::Action>& ran() const { return ran_; }
  int dropped = 0;

 private:
  Tensor gradient(schedules::Pass pass, int stage, int micro_batch, Tensor d_out) {
    if (stage < last_) expect_stamp(d_out, stamp(stage + 1, micro_batch, true));
    ran_.push_back({.pass = pass, .stage = stage, .micro_batch = micro_batch});
    return stage > 0 ? stamped(stamp(stage, micro_batch, true)) : Tensor();
  }

  Tensor stamped(double value) { return device_.filled(kMessage.shape, kMessage.dtype, value); }

  void expect_stamp(const Tensor& tensor, double value) {
    ASSERT_TRUE(tensor);
    for (const double found : device_.values(tensor)) EXPECT_EQ(found, value);
  }

  test::Device& device_;
  int last_;
  std::vector<schedules::Action> ran_;
};

// Every pass in order, each with what the schedule says it is given, twice over.
void expect_runs(const Program& program) {
  const Schedule& schedule = program.schedule;
  test::on_ranks(schedule.placement.ranks, [&](Communicator& world) {
    test::Device device;
    Executor executor(*device.backend, *device.stream, program, world, kMessage);
    for (int step = 0; step < 2; ++step) {
      StampingPasses passes(device, schedule);
      executor.run(passes);
      executor.check_messages();
      auto expected = schedule.ranks[static_cast<std::size_t>(world.rank())];
      int recomputed = 0;
      for (schedules::Action& action : expected) {
        action.overlaps_next = false;
        recomputed += action.pass == schedules::Pass::recompute ? 1 : 0;
      }
      EXPECT_EQ(passes.ran(), expected);
      EXPECT_EQ(passes.dropped, recomputed);
    }
  });
}

// The passes that are tried first leave nothing behind: no message, and no memory.
void expect_runs_after_a_trial(const Program& program) {
  const Schedule& schedule = program.schedule;
  const auto head = schedules::head_start(program).actions;
  test::on_ranks(schedule.placement.ranks, [&](Communicator& world) {
    test::Device device;
    Executor executor(*device.backend, *device.stream, program, world, kMessage);
    const auto held = device.backend->memory().of(kernels::Category::activations).current;
    StampingPasses tried(device, schedule);
    executor.begin(tried);
    EXPECT_EQ(static_cast<int>(tried.ran().size()), head[static_cast<std::size_t>(world.rank())]);
    executor.abandon();
    device.stream->synchronize();
    EXPECT_EQ(device.backend->memory().of(kernels::Category::activations).current, held);
    StampingPasses passes(device, schedule);
    executor.begin(passes);
    executor.finish(passes);
    executor.check_messages();
    EXPECT_EQ(passes.ran().size(), schedule.ranks[static_cast<std::size_t>(world.rank())].size());
  });
}

Schedule schedule_of(const std::string& kind, int ranks, int micro_batches) {
  schedules::Request request;
  request.kind = kind;
  request.shape = {.ranks = ranks, .micro_batches = micro_batches, .virtual_stages = 0};
  request.goal.effort = 0.02;
  return schedules::make_schedule(request);
}

TEST(Executor, RunsEveryKind) {
  for (const auto& kind : schedules::kinds()) {
    SCOPED_TRACE(kind.name);
    expect_runs(schedules::lower(schedule_of(kind.name, 4, 8)));
  }
}

TEST(Executor, RunsWithAnyNumberOfSlots) {
  for (const int slots : {1, 2, 5}) {
    SCOPED_TRACE(slots);
    expect_runs(schedules::lower(schedule_of("zb-v", 3, 7), slots));
  }
}

TEST(Executor, RunsWithOneStream) {
  for (const char* kind : {"1f1b", "zb-v", "interleaved"}) {
    SCOPED_TRACE(kind);
    const Schedule schedule = schedule_of(kind, 3, 6);
    const auto costs = schedules::Costs::even(schedule.placement, {}, 0.1);
    expect_runs(schedules::with_one_stream(schedules::lower(schedule), costs));
  }
}

// Training and evaluation in turn, twice over.
TEST(Executor, RunsAnotherProgramOnTheSameChannels) {
  for (const auto& kind : schedules::kinds()) {
    SCOPED_TRACE(kind.name);
    const Schedule schedule = schedule_of(kind.name, 4, 8);
    const Schedule forward = schedules::forward_only(schedule);
    test::on_ranks(4, [&](Communicator& world) {
      test::Device device;
      Executor executor(*device.backend, *device.stream, schedules::lower(schedule), world,
                        kMessage);
      Executor other(*device.backend, *device.stream, schedules::lower(forward), executor,
                     kMessage);
      for (int step = 0; step < 2; ++step) {
        StampingPasses passes(device, schedule), others(device, forward);
        executor.run(passes);
        executor.check_messages();
        other.run(others);
        other.check_messages();
        EXPECT_EQ(others.ran(), forward.ranks[static_cast<std::size_t>(world.rank())]);
      }
      EXPECT_THROW(
          Executor(*device.backend, *device.stream, schedules::lower(schedule), other, kMessage),
          kernels::ContractViolation)
          << "no channels for gradients";
    });
  }
}

TEST(Executor, TakesBackWhatItBegan) {
  for (const auto& kind : schedules::kinds()) {
    SCOPED_TRACE(kind.name);
    expect_runs_after_a_trial(schedules::lower(schedule_of(kind.name, 4, 8)));
  }
  for (const int slots : {1, 5}) {
    SCOPED_TRACE(slots);
    expect_runs_after_a_trial(schedules::lower(schedule_of("zb-v", 3, 7), slots));
  }
}

// What lives from a forward pass to the weight gradients, counted as it runs.
class CountingPasses final : public Passes {
 public:
  CountingPasses(test::Device& device, int stages) : device_(device), last_(stages - 1) {}

  Tensor forward(int stage, int, Tensor) override {
    most_ = std::max(most_, ++live_);
    return made(stage < last_);
  }
  void drop(int, int) override {}
  void recompute(int, int) override {}
  Tensor backward_input(int stage, int, Tensor) override { return made(stage > 0); }
  void backward_weight(int, int) override { --live_; }
  Tensor backward(int stage, int, Tensor) override {
    --live_;
    return made(stage > 0);
  }

  int most() const { return most_; }
  int live() const { return live_; }

 private:
  Tensor made(bool message) {
    return message ? device_.filled(kMessage.shape, kMessage.dtype, 0) : Tensor();
  }

  test::Device& device_;
  int last_;
  int live_ = 0, most_ = 0;
};

TEST(Executor, HoldsAsManyMicroBatchesAsTheMemoryModelSays) {
  for (const auto& kind : schedules::kinds()) {
    SCOPED_TRACE(kind.name);
    const Schedule schedule = schedule_of(kind.name, 4, 8);
    const auto expected = schedules::peak_memory(schedule, {.weight_fraction = 1});
    test::on_ranks(4, [&](Communicator& world) {
      test::Device device;
      Executor executor(*device.backend, *device.stream, schedules::lower(schedule), world,
                        kMessage);
      CountingPasses passes(device, schedule.placement.stages);
      executor.run(passes);
      executor.check_messages();
      EXPECT_EQ(passes.live(), 0);
      EXPECT_EQ(passes.most() / schedule.placement.chunks(),
                expected[static_cast<std::size_t>(world.rank())]);
    });
  }
}

// Tables that nobody would write, with recompute passes, pairs and two copies of the model.
TEST(Executor, RunsRandomTables) {
  std::mt19937 dice(5);
  for (int i = 0; i < 60; ++i) {
    SCOPED_TRACE(i);
    expect_runs(random_program(dice));
  }
}

// Two ranks that disagree about the order of the micro-batches.
TEST(Executor, NoticesAMessageThatIsNotTheOneThatWasDue) {
  const Schedule schedule = schedule_of("1f1b", 2, 4);
  Schedule other = schedule;
  for (auto& actions : other.ranks) {
    for (auto& action : actions) action.micro_batch = 3 - action.micro_batch;
  }
  std::string message;
  test::on_ranks(2, [&](Communicator& world) {
    SyntheticPasses::Backend backend({});
    const auto stream = backend.make_stream();
    Executor executor(backend, *stream, schedules::lower(world.rank() == 0 ? schedule : other),
                      world, kMessage);
    SyntheticPasses passes(backend, *stream, schedule, kMessage);
    executor.run(passes);
    try {
      executor.check_messages();
    } catch (const CommunicationError& error) {
      if (world.rank() == 1) message = error.what();
    }
  });
  EXPECT_NE(message.find("rank 1"), std::string::npos) << message;
  EXPECT_NE(message.find("1F3: the message of stage 0, micro-batch 3 was due"), std::string::npos)
      << message;
  EXPECT_NE(message.find("micro-batch 0 came"), std::string::npos) << message;
}

// A table whose forward pass was forgotten.
TEST(Executor, NamesAnActionWithoutItsInput) {
  Program program = schedules::lower(schedule_of("1f1b", 1, 2));
  program.schedule.placement = schedules::Placement::loop(1, 2);
  program.schedule.ranks = {{{.stage = 1, .micro_batch = 0}}};
  program.ranks = {{{.kind = schedules::Instruction::Kind::run, .index = 0}}};
  test::on_ranks(1, [&](Communicator& world) {
    SyntheticPasses::Backend backend({});
    const auto stream = backend.make_stream();
    Executor executor(backend, *stream, program, world, kMessage);
    SyntheticPasses passes(backend, *stream, program.schedule, kMessage);
    try {
      executor.run(passes);
      FAIL() << "it ran";
    } catch (const kernels::ContractViolation& error) {
      EXPECT_STREQ(error.what(), "executor: rank 0, stage 1: 1F0 has no input");
    }
  });
}

// Passes of 20 ms each.
class SlowPasses final : public Passes {
 public:
  static constexpr double kSeconds = 0.02;

  SlowPasses(kernels::SyntheticBackend& backend, kernels::Stream& compute)
      : backend_(backend), compute_(compute) {}

  Tensor forward(int stage, int, Tensor) override { return made(stage == 0); }
  Tensor backward(int stage, int, Tensor) override { return made(stage == 1); }

 private:
  Tensor made(bool message) {
    backend_.pause(compute_, kSeconds);
    if (!message) return {};
    return backend_.allocate(compute_, kMessage.shape, kMessage.dtype,
                             kernels::Category::activations);
  }

  kernels::SyntheticBackend& backend_;
  kernels::Stream& compute_;
};

TEST(Executor, KnowsWhenActionsRanAndLeavesOutWhatTheyWaitedFor) {
  const Schedule schedule = schedule_of("gpipe", 2, 2);
  test::on_ranks(2, [&](Communicator& world) {
    kernels::SyntheticBackend backend({});
    const auto stream = backend.make_stream();
    Executor executor(backend, *stream, schedules::lower(schedule), world, kMessage);
    SlowPasses passes(backend, *stream);
    double least = 0, worked = 0;  // seconds: a pause makes up for what the one before was late
    for (int run = 0; run < 2; ++run) {
      executor.run(passes);
      stream->synchronize();
      executor.check_messages();
      const auto intervals = executor.intervals();
      ASSERT_EQ(intervals.size(), 4u);
      double end = 0;
      for (const auto& [start, ended] : intervals) {
        EXPECT_GE(start, end);
        worked += ended - start;
        least += SlowPasses::kSeconds;
        EXPECT_GE(worked, least);
        end = ended;
      }
      if (world.rank() == 1) {
        EXPECT_GE(intervals[0].start, 0.5 * SlowPasses::kSeconds);
        EXPECT_LT(intervals[0].end - intervals[0].start, 1.9 * SlowPasses::kSeconds);
      } else {
        // A pass here and three there before the first gradient comes.
        EXPECT_GE(intervals[2].start, 3.5 * SlowPasses::kSeconds);
        EXPECT_LT(intervals[2].end - intervals[2].start, 1.9 * SlowPasses::kSeconds);
      }
    }
  });
}

// Whatever takes how long, and however large messages are: nothing waits for ever.
TEST(Executor, NeverHangs) {
  std::mt19937 dice(6);
  for (int i = 0; i < 100; ++i) {
    SCOPED_TRACE(i);
    run_at_random_pace(random_program(dice), static_cast<std::uint32_t>(i), kMessage);
  }
  run_at_random_pace(schedules::lower(schedule_of("zb-v", 3, 6)), 1,
                     {.shape = {1000, 1000}, .dtype = Dtype::f32});
}

}  // namespace
}  // namespace trireme::runtime
