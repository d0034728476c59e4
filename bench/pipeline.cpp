#include "bench/pipeline.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "bench/measure.h"
#include "kernels/synthetic/synthetic_backend.h"
#include "runtime/comm/numbers.h"
#include "runtime/pipeline/executor.h"
#include "schedules/catalog.h"
#include "schedules/generate.h"
#include "schedules/passes.h"

namespace trireme::bench {
namespace {

using kernels::Category;
using kernels::Dtype;
using kernels::SyntheticBackend;
using kernels::Tensor;
using schedules::Schedule;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Stages that sleep and hand on messages of a given size.
class SleepingPasses final : public runtime::Passes {
 public:
  SleepingPasses(SyntheticBackend& backend, kernels::Stream& compute, const schedules::Costs& costs,
                 kernels::Shape message, std::size_t passes)
      : backend_(backend), compute_(compute), costs_(costs), message_(message) {
    ran_.reserve(passes);  // the stream writes to its elements
  }

  Tensor forward(int stage, int, Tensor) override {
    sleep(costs_.stages[static_cast<std::size_t>(stage)].forward);
    return stage + 1 < static_cast<int>(costs_.stages.size()) ? message() : Tensor();
  }

  void drop(int, int) override {}
  void recompute(int stage, int) override {
    sleep(costs_.stages[static_cast<std::size_t>(stage)].forward);
  }

  Tensor backward_input(int stage, int, Tensor) override {
    sleep(costs_.stages[static_cast<std::size_t>(stage)].backward_input);
    return stage > 0 ? message() : Tensor();
  }

  void backward_weight(int stage, int) override {
    sleep(costs_.stages[static_cast<std::size_t>(stage)].backward_weight);
  }

  Tensor backward(int stage, int, Tensor) override {
    sleep(costs_.stages[static_cast<std::size_t>(stage)].backward_input +
          costs_.stages[static_cast<std::size_t>(stage)].backward_weight);
    return stage > 0 ? message() : Tensor();
  }

  const std::vector<SyntheticBackend::Interval>& ran() const { return ran_; }

 private:
  void sleep(double seconds) { backend_.pause(compute_, seconds, &ran_.emplace_back()); }
  Tensor message() {
    return backend_.allocate(compute_, message_, Dtype::f32, Category::activations);
  }

  SyntheticBackend& backend_;
  kernels::Stream& compute_;
  const schedules::Costs& costs_;
  kernels::Shape message_;
  std::vector<SyntheticBackend::Interval> ran_;
};

kernels::Shape shape_of(std::int64_t bytes) {
  return {1, std::max<std::int64_t>(1, bytes / static_cast<std::int64_t>(sizeof(float)))};
}

// The largest of every rank's numbers; all ranks leave together.
void maximize(SyntheticBackend& backend, kernels::Stream& stream, runtime::Communicator& world,
              std::span<double> numbers) {
  runtime::largest_numbers(backend, stream, world, numbers);
}

Schedule schedule_for(const std::string& kind, const PipelineOptions& options, int ranks,
                      double message_seconds) {
  schedules::Request request;
  request.kind = kind;
  request.shape = {.ranks = ranks,
                   .micro_batches = options.micro_batches,
                   .virtual_stages = options.virtual_stages};
  request.cost = options.share;
  request.communication = message_seconds;
  if (options.memory_limit > 0) request.goal.memory_limit = {options.memory_limit};
  return schedules::take_pairs_apart(schedules::make_schedule(request));
}

}  // namespace

double message_seconds(runtime::Communicator& world, const PipelineOptions& options) {
  if (world.size() == 1) return 0;
  const Schedule chain =
      schedules::forward_only(schedules::gpipe({.ranks = world.size(), .micro_batches = 1}));
  const auto costs = schedules::Costs::even(chain.placement, options.share, 0);
  SyntheticBackend backend({});
  const auto compute = backend.make_stream();
  const auto totals = backend.make_stream();
  const kernels::Shape message = shape_of(options.message_bytes);
  runtime::Executor executor(backend, *compute, schedules::lower(chain), world,
                             {.shape = message, .dtype = Dtype::f32});
  constexpr int kRounds = 10;
  std::vector<double> seconds;
  for (int round = 0; round <= kRounds; ++round) {
    SleepingPasses sleeping(backend, *compute, costs, message, 1);
    std::array<double, 1> end{0};
    maximize(backend, *totals, world, end);
    const double start = now();
    executor.run(sleeping);
    compute->synchronize();
    executor.check_messages();
    end = {sleeping.ran().front().end - start};
    maximize(backend, *totals, world, end);
    const double passes = world.size() * costs.stages.front().forward;
    seconds.push_back((end[0] - passes) / (world.size() - 1));
  }
  return median(std::vector<double>(seconds.begin() + 1, seconds.end()));
}

namespace {

// One rank of a pipeline of sleeping stages.
class SleepingPipeline {
 public:
  SleepingPipeline(runtime::Communicator& world, schedules::Program program,
                   const schedules::Costs& costs, kernels::Shape message)
      : world_(world),
        costs_(costs),
        message_(message),
        passes_(program.schedule.ranks[static_cast<std::size_t>(world.rank())].size()),
        executor_(backend_, *compute_, std::move(program), world,
                  {.shape = message, .dtype = Dtype::f32}) {}

  // Seconds of a step of all ranks, and of the rank that works longest.
  std::array<double, 2> step() {
    SleepingPasses sleeping(backend_, *compute_, costs_, message_, passes_);
    const double start = start_together();
    run(sleeping);
    compute_->synchronize();
    const auto& ran = sleeping.ran();
    std::array<double, 2> found{ran.back().end - start, ran.back().end - ran.front().start};
    maximize(backend_, *totals_, world_, found);
    return found;
  }

  // Seconds of so many steps of which none waits for all ranks.
  double chain(int steps) {
    std::deque<SleepingPasses> sleeping;
    for (int i = 0; i < steps; ++i) {
      sleeping.emplace_back(backend_, *compute_, costs_, message_, passes_);
    }
    const double start = start_together();
    for (SleepingPasses& one : sleeping) run(one);
    compute_->synchronize();
    std::array<double, 1> found{sleeping.back().ran().back().end - start};
    maximize(backend_, *totals_, world_, found);
    return found[0];
  }

 private:
  double start_together() {
    std::array<double, 1> nothing{0};
    maximize(backend_, *totals_, world_, nothing);
    return now();
  }

  void run(SleepingPasses& sleeping) {
    executor_.run(sleeping);
    executor_.check_messages();
  }

  SyntheticBackend backend_{{}};
  std::unique_ptr<kernels::Stream> compute_ = backend_.make_stream();
  std::unique_ptr<kernels::Stream> totals_ = backend_.make_stream();
  runtime::Communicator& world_;
  const schedules::Costs& costs_;
  kernels::Shape message_;
  std::size_t passes_;
  runtime::Executor executor_;
};

constexpr int kChained = 4;  // steps

}  // namespace

PipelineTimes run_pipeline(runtime::Communicator& world, const std::string& kind,
                           const PipelineOptions& options, double message_seconds) {
  const Schedule schedule = schedule_for(kind, options, world.size(), message_seconds);
  const auto costs = schedules::Costs::even(schedule.placement, options.share, message_seconds);
  auto program = schedules::lower(schedule, options.slots);
  if (options.one_stream) program = schedules::with_one_stream(std::move(program), costs);
  const auto simulated = schedules::simulate(program, costs);
  PipelineTimes times{.kind = kind,
                      .virtual_stages = schedule.placement.stages / world.size(),
                      .measured = std::numeric_limits<double>::infinity(),
                      .simulated = simulated.makespan(),
                      .simulated_span = simulated.span(),
                      .messages = static_cast<int>(program.transfers.size())};
  SleepingPipeline pipeline(world, std::move(program), costs, shape_of(options.message_bytes));
  for (int step = 0; step <= options.steps; ++step) {
    const auto [makespan, span] = pipeline.step();
    if (step == 0 || makespan >= times.measured) continue;
    times.measured = makespan;
    times.measured_span = span;
  }
  times.period = (pipeline.chain(kChained) - times.measured) / (kChained - 1);
  const double work = options.micro_batches * options.share.whole();
  times.bubble = 1 - work / times.measured;
  times.span_bubble = 1 - work / times.measured_span;
  times.period_bubble = 1 - work / times.period;
  return times;
}

}  // namespace trireme::bench
