// What is recorded of steps, from one instant of a stream to the trace of a rank.
#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "runtime/trace/span_log.h"
#include "runtime/trace/traced_communicator.h"
#include "tests/runtime/layout_run.h"
#include "tests/runtime/random_passes.h"
#include "tests/support/model.h"

namespace trireme::runtime {
namespace {

double now() {
  return std::chrono::duration<double>(SpanLog::Clock::now().time_since_epoch()).count();
}

std::vector<std::string> names_of(const std::vector<Span>& spans, const std::string& kind = "") {
  std::vector<std::string> names;
  for (const Span& span : spans) {
    if (kind.empty() || span.work.kind == kind) names.push_back(span.work.name);
  }
  return names;
}

using Names = std::vector<std::string>;

TEST(SpanLog, KeepsWhatBelongsToItsSteps) {
  kernels::SyntheticBackend backend({});
  const auto stream = backend.make_stream();
  SpanLog log({.first = 2, .last = 3});
  for (int step = 1; step <= 4; ++step) {
    log.begin_step(step, *stream);
    recorded(&log, *stream, "lane", {.name = "pass " + std::to_string(step)}, [] {});
    log.end_step();
    recorded(&log, *stream, "lane", {.name = "between"}, [] {});
  }
  EXPECT_EQ(names_of(log.take(*stream)), (Names{"pass 2", "pass 3"}));
  EXPECT_TRUE(log.take(*stream).empty());
}

TEST(SpanLog, RunsTheWorkWithoutALogToo) {
  kernels::SyntheticBackend backend({});
  const auto stream = backend.make_stream();
  int runs = 0;
  recorded(nullptr, *stream, "lane", {.name = "pass"}, [&] { ++runs; });
  EXPECT_EQ(runs, 1);
}

TEST(SpanLog, TellsTimesOfStreamsByTheClockOfTheHost) {
  kernels::SyntheticBackend backend({});
  const auto stream = backend.make_stream();
  SpanLog log({.first = 1, .last = 1});
  log.begin_step(1, *stream);
  const double begun = now();
  recorded(&log, *stream, "lane", {.name = "sleep"}, [&] { backend.pause(*stream, 0.05); });
  stream->synchronize();
  const double ended = now();
  const auto spans = log.take(*stream);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_GT(spans[0].start, begun - 1e-3);
  EXPECT_LT(spans[0].end, ended + 1e-3);
  EXPECT_GT(spans[0].end - spans[0].start, 0.045);
}

TEST(SpanLog, HasALaneForEveryStreamAndOneForTheHost) {
  kernels::SyntheticBackend backend({});
  const auto named = backend.make_stream(), other = backend.make_stream();
  SpanLog log({.first = 1, .last = 1});
  log.name_lane(*named, "compute");
  log.begin_step(1, *named);
  recorded(&log, *other, "messages", {.name = "send"}, [] {});
  recorded(&log, *named, "ignored", {.name = "pass"}, [] {});
  recorded(&log, *other, "ignored", {.name = "receive"}, [] {});
  log.add_on_host({.name = "step"}, SpanLog::Clock::now(), SpanLog::Clock::now());
  other->synchronize();
  const auto spans = log.take(*named);
  EXPECT_EQ(log.lanes(), (Names{"host", "compute", "messages"}));
  EXPECT_EQ(names_of(spans), (Names{"step", "pass", "send", "receive"}));
  EXPECT_EQ(spans[2].lane, spans[3].lane);
}

TEST(TracedCommunicator, NamesEveryCollectiveAndItsGroup) {
  test::on_ranks(4, [](Communicator& world) {
    test::Device device;
    SpanLog log({.first = 1, .last = 1});
    const auto traced = make_traced(world, log);
    const auto half = traced->split(world.rank() / 2, "half");
    const auto alone = traced->split(world.rank(), "alone");
    EXPECT_EQ(half->size(), 2);
    const auto data = device.filled({1, 4}, kernels::Dtype::f32, world.rank());
    traced->all_reduce(*device.stream, data);
    log.begin_step(1, *device.stream);
    half->all_reduce(*device.stream, data);
    alone->all_reduce(*device.stream, data);
    traced->broadcast(*device.stream, data, 3);
    EXPECT_EQ(names_of(log.take(*device.stream)),
              (Names{"all-reduce, half, 16 bytes", "broadcast, world, 16 bytes"}));
    EXPECT_EQ(device.values(data), std::vector<double>(4, 12));  // twice 0 + 1 + 2 + 3
  });
}

// Each action once, in its order, and each message from its sender to the action that needs it.
TEST(Trace, OfAProgramHasItsActionsAndMessages) {
  for (const char* kind : {"1f1b", "zb-v", "dualpipe-v"}) {
    SCOPED_TRACE(kind);
    schedules::Request request;
    request.kind = kind;
    request.shape = {.ranks = 3, .micro_batches = 6, .virtual_stages = 0};
    const schedules::Schedule schedule = schedules::make_schedule(request);
    const schedules::Program program = schedules::lower(schedule);
    const Executor::MessageFormat format{.shape = {3, 4}, .dtype = kernels::Dtype::f32};
    std::mutex mutex;
    std::multiset<std::string> sent, received;
    test::on_ranks(3, [&](Communicator& world) {
      SyntheticPasses::Backend backend({});
      const auto stream = backend.make_stream();
      SpanLog log({.first = 2, .last = 3});
      log.name_lane(*stream, "compute");
      Executor executor(backend, *stream, program, world, format, &log);
      SyntheticPasses passes(backend, *stream, schedule, format);
      for (int step = 1; step <= 4; ++step) {
        log.begin_step(step, *stream);
        executor.run(passes);
        executor.check_messages();
      }
      const auto spans = log.take(*stream);
      Names expected, found;
      for (int step = 2; step <= 3; ++step) {
        for (const auto& action : schedule.ranks[static_cast<std::size_t>(world.rank())]) {
          expected.push_back(to_text(action));
        }
      }
      const std::lock_guard lock(mutex);
      for (const Span& span : spans) {
        EXPECT_LE(span.start, span.end);
        if (span.lane == 1) found.push_back(span.work.name);
        if (!span.work.sent.empty()) sent.insert(span.work.sent);
        if (!span.work.received.empty()) received.insert(span.work.received);
      }
      EXPECT_EQ(found, expected);
    });
    EXPECT_EQ(sent.size(), 2 * program.transfers.size());
    EXPECT_EQ(sent, received);
    EXPECT_EQ(std::set(sent.begin(), sent.end()).size(), sent.size());
  }
}

// Of every rank of a run.
struct Traced {
  std::vector<std::vector<Span>> spans;
  std::vector<double> losses;  // of rank 0
  int traces = 0;
};

Traced traced_run(const test::Corpus& corpus, const TrainerOptions& options, StepRange steps,
                  std::int64_t stop_after = 0) {
  Traced result;
  result.spans.resize(static_cast<std::size_t>(options.mesh.world()));
  std::mutex mutex;
  std::atomic<bool> stop = false;
  const data::Sampler sampler = corpus.sampler(options.sequence_length, 3);
  test::on_ranks(options.mesh.world(), [&](Communicator& world) {
    test::Device device;
    SpanLog log(steps);
    const auto watched = make_traced(world, log);
    TrainerOptions own = options;
    own.spans = &log;
    Trainer trainer(*device.backend, *watched, sampler, &sampler, own);
    trainer.run({.step =
                     [&](const StepRecord& record) {
                       if (world.rank() == 0) result.losses.push_back(record.result.loss);
                       if (record.step == stop_after) stop = true;
                     },
                 .evaluation = [](std::int64_t, double) {},
                 .trace =
                     [&](const std::vector<Span>& spans) {
                       const std::lock_guard lock(mutex);
                       ++result.traces;
                       result.spans[static_cast<std::size_t>(world.rank())] = spans;
                     }},
                stop);
  });
  return result;
}

class TrainerTraceTest : public testing::Test {
 protected:
  static TrainerOptions options_for(const Layout& layout) {
    TrainerOptions options =
        options_of({.shape = test::tiny_llama(), .micro_batch = 2, .steps = 6}, layout);
    options.eval_interval = 3;
    return options;
  }

  test::Corpus corpus{4000, 17, testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(TrainerTraceTest, HasTheStepsAskedForAndChangesNothing) {
  const TrainerOptions options = options_for({.tensor = 2, .pipeline = 2, .data = 2});
  const Traced traced = traced_run(corpus, options, {.first = 3, .last = 4});
  EXPECT_EQ(traced.losses, run_with(corpus, options).losses);
  EXPECT_EQ(traced.traces, 8);
  for (std::size_t rank = 0; rank < 8; ++rank) {
    const auto& spans = traced.spans[rank];
    EXPECT_EQ(names_of(spans, "host"), (Names{"step 3", "evaluation", "step 4"}));
    EXPECT_EQ(names_of(spans, "optimizer"), (Names{"update", "update"}));
    EXPECT_EQ(names_of(spans, "forward").size(), 2u * 3u) << "of three micro-batches a step";
    const Names collectives = names_of(spans, "collective");
    const auto has = [&](const std::string& start) {
      return std::ranges::any_of(collectives,
                                 [&](const std::string& name) { return name.starts_with(start); });
    };
    EXPECT_TRUE(has("all-gather, tensor, "));
    EXPECT_TRUE(has("reduce-scatter, data, "));
    EXPECT_TRUE(has("all-gather, data, "));
  }
}

TEST_F(TrainerTraceTest, HasWhatIsDoneAtTheEndOfItsLastStep) {
  const Traced traced = traced_run(corpus, options_for({.pipeline = 2}), {.first = 2, .last = 3});
  EXPECT_EQ(traced.traces, 2) << "once on every rank";
  for (const auto& spans : traced.spans) {
    EXPECT_EQ(names_of(spans, "host"), (Names{"step 2", "step 3", "evaluation"}));
    EXPECT_EQ(names_of(spans, "forward").size(), 2u * 6u);
  }
}

TEST_F(TrainerTraceTest, IsShownWhenTheRunEndsFirst) {
  const Traced traced =
      traced_run(corpus, options_for({.pipeline = 2}), {.first = 2, .last = 9}, /*stop_after=*/3);
  EXPECT_EQ(traced.traces, 2);
  EXPECT_EQ(names_of(traced.spans[1], "host"), (Names{"step 2", "step 3", "evaluation", "step 4"}));
}

// Steps begin before the one before them is known.
TEST_F(TrainerTraceTest, KeepsStepsApartThatOverlap) {
  TrainerOptions options = options_for({.pipeline = 2, .kind = "zb-h1", .post_validation = true});
  options.clip_norm = 0;
  options.eval_interval = 0;
  const Traced traced = traced_run(corpus, options, {.first = 3, .last = 4});
  EXPECT_EQ(traced.traces, 2);
  for (const auto& spans : traced.spans) {
    EXPECT_EQ(names_of(spans, "host"), (Names{"step 3", "step 4"}));
    EXPECT_EQ(names_of(spans, "forward").size(), 2u * 6u);
  }
}

}  // namespace
}  // namespace trireme::runtime
