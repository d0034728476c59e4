#include "runtime/train/verify.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "runtime/comm/local_world.h"
#include "runtime/comm/numbers.h"
#include "runtime/comm/staged_communicator.h"
#include "schedules/generate.h"

namespace trireme::runtime {
namespace {

using kernels::Category;
using kernels::Dtype;
using kernels::Tensor;
using kernels::View;

// For rank 0 to train the whole model.
constexpr std::chrono::hours kPatience{4};

// A tensor whose gradient is a smaller share of the whole one's norm is held to that share: what is
// left of sums that cancel is rounding.
constexpr double kRoundingShare = 1e-2;
// An element is off by so many times what its tensor's elements may be on average.
constexpr double kWorstElement = 4;

TrainerOptions one_step_of(TrainerOptions options) {
  options.steps = 1;
  options.eval_interval = 0;
  // The whole learning rate at once, so that weights move as far as they ever do.
  options.learning_rate.warmup_steps = 0;
  options.learning_rate.total_steps = 1;
  options.learning_rate.schedule = optim::LearningRateSchedule::constant;
  return options;
}

TrainerOptions on_one_rank(TrainerOptions options) {
  options.mesh.sizes = {1, 1, 1, 1};
  options.schedule = schedules::one_f_one_b(
      {.ranks = 1, .micro_batches = static_cast<int>(options.global_batch / options.micro_batch)});
  options.stages =
      models::layers_as_listed(options.model, {static_cast<int>(options.model.num_hidden_layers)});
  return options;
}

StepResult take_step(Trainer& trainer) {
  StepResult result;
  const std::atomic<bool> stop = false;
  trainer.run({.step = [&](const StepRecord& record) { result = record.result; },
               .evaluation = [](std::int64_t, double) {}},
              stop);
  trainer.gather_gradients();
  return result;
}

Compared compared(double reference, double layout) {
  const double difference = std::abs(layout - reference);
  const double error = difference == 0 ? 0 : difference / std::abs(reference);
  return {.reference = reference,
          .layout = layout,
          .relative_error = std::isfinite(error) ? error : std::numeric_limits<double>::infinity()};
}

double norm_of(const std::vector<double>& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

// How a tensor of this rank differs from the whole one.
struct Difference {
  double squares = 0;
  double largest = 0;
};

// Elements of which `counts` is false are left out.
template <class Counts>
Difference difference_of(const models::Shard& shard, const std::vector<double>& mine,
                         const std::vector<double>& whole, const Counts& counts) {
  Difference difference;
  const models::Slice& slice = shard.slice;
  for (std::int64_t r = 0; r < slice.rows; ++r) {
    for (std::int64_t c = 0; c < slice.columns; ++c) {
      const std::int64_t place =
          (slice.first_row + r) * shard.parameter.columns + slice.first_column + c;
      if (!counts(static_cast<std::size_t>(place))) continue;
      double off = mine[static_cast<std::size_t>(r * slice.columns + c)] -
                   whole[static_cast<std::size_t>(place)];
      if (!std::isfinite(off)) off = std::numeric_limits<double>::max();
      difference.squares += off * off;
      difference.largest = std::max(difference.largest, std::abs(off));
    }
  }
  return difference;
}

class Comparison {
 public:
  // `reference` is there on rank 0. All is borrowed.
  Comparison(kernels::Backend& backend, kernels::Stream& stream, Communicator& world,
             const Trainer& layout, const Trainer* reference)
      : backend_(backend), stream_(stream), world_(world), layout_(layout), reference_(reference) {}

  // The distance of neighboring numbers of this type, by which errors are measured.
  void measure_by(Dtype dtype) {
    switch (dtype) {
      case Dtype::bf16: epsilon_ = 0x1p-7; break;
      case Dtype::f16: epsilon_ = 0x1p-10; break;
      case Dtype::f64: epsilon_ = 0x1p-52; break;
      default: epsilon_ = 0x1p-23;
    }
  }

  // Every element of rank 0's reference, on all ranks.
  std::vector<double> expected(const models::Parameter& parameter, View Weight::*part) {
    std::vector<double> whole(static_cast<std::size_t>(parameter.size()));
    if (reference_) {
      whole = values(reference_->parameters().weight(parameter.name).*part);
    }
    broadcast_numbers(backend_, stream_, world_, whole, 0);
    return whole;
  }

  // `least` is the least norm that the difference is measured by.
  template <class Counts>
  TensorError error_of(const models::Parameter& parameter, View Weight::*part,
                       const std::vector<double>& whole, double least, const Counts& counts) {
    // Slices that are counted add up to the tensor; of the others each is held to it alone.
    std::array<double, 1> counted{0};
    std::array<double, 2> most{0, 0};
    for (const auto& slot : layout_.parameters().slots()) {
      if (slot.parameter().name != parameter.name) continue;
      const auto mine = values(layout_.parameters().weight(parameter.name).*part);
      const Difference difference = difference_of(slot.shard, mine, whole, counts);
      const bool first = layout_.mesh().coordinate(Axis::data) == 0;
      (slot.shard.is_counted && first ? counted[0] : most[0]) = difference.squares;
      most[1] = difference.largest;
    }
    sum_numbers(backend_, stream_, world_, counted);
    largest_numbers(backend_, stream_, world_, most);
    double largest = 0;
    for (const double value : whole) largest = std::max(largest, std::abs(value));
    const double off = std::sqrt(std::max(counted[0], most[0]));
    return {.name = parameter.name,
            .relative_error = off == 0 ? 0 : off / std::max(norm_of(whole), least),
            .ulp = largest > 0 ? most[1] / (epsilon_ * largest) : 0};
  }

 private:
  std::vector<double> values(View view) {
    const Tensor exact = backend_.allocate(stream_, view.shape(), Dtype::f64, Category::workspace);
    std::vector<double> numbers(static_cast<std::size_t>(view.size()));
    backend_.run(stream_, kernels::Convert{.x = view, .out = exact});
    backend_.download(stream_, exact, std::as_writable_bytes(std::span(numbers)));
    stream_.synchronize();
    return numbers;
  }

  kernels::Backend& backend_;
  kernels::Stream& stream_;
  Communicator& world_;
  const Trainer& layout_;
  const Trainer* reference_;
  double epsilon_ = 0x1p-23;  // of 1
};

}  // namespace

Tolerance Tolerance::of(Dtype compute) {
  if (compute == Dtype::f32 || compute == Dtype::f64) return {};
  return {.loss = 1e-2, .gradient = 5e-2, .weight = 5e-2};
}

Verification verify(kernels::Backend& backend, Communicator& world, const data::Sampler& sampler,
                    const TrainerOptions& options) {
  TrainerOptions one_step = one_step_of(options);
  auto layout = std::make_unique<Trainer>(backend, world, sampler, nullptr, one_step);
  StepResult found = take_step(*layout);
  while (found.skipped && one_step.loss_scale.value() > 1) {
    one_step.loss_scale = optim::LossScale::dynamic(one_step.loss_scale.value() / 16, 1);
    layout.reset();
    layout = std::make_unique<Trainer>(backend, world, sampler, nullptr, one_step);
    found = take_step(*layout);
  }
  std::unique_ptr<Communicator> alone;
  std::unique_ptr<Trainer> reference;
  std::vector<double> expected(3);  // loss, norm, loss scale
  if (world.rank() == 0) {
    alone = make_staged(std::move(make_local_world(1).front()), backend);
    reference = std::make_unique<Trainer>(backend, *alone, sampler, nullptr, on_one_rank(one_step));
    const StepResult result = take_step(*reference);
    expected = {result.loss, result.gradient_norm, result.loss_scale};
  }
  const auto stream = backend.make_stream();
  // The others have nothing to do while rank 0 trains the whole model.
  const auto patient = world.split(0, "verification", {.timeout = kPatience, .seldom = true});
  broadcast_numbers(backend, *stream, *patient, expected, 0);
  Verification verification;
  verification.loss = compared(expected[0], found.loss);
  verification.gradient_norm = compared(expected[1], found.gradient_norm);
  const Tolerance tolerance = Tolerance::of(options.compute);
  Comparison comparison(backend, *stream, world, *layout, reference.get());
  const auto hold = [&](const TensorError& error, double allowed, TensorError& worst) {
    if (worst.name.empty() || error.relative_error > worst.relative_error) worst = error;
    if (error.relative_error > allowed && !verification.first_wrong) {
      verification.first_wrong = error;
    }
  };
  const auto table = models::parameter_table(options.model);
  // Gradients as they were accumulated.
  const double rounding = kRoundingShare * expected[1] * expected[2];
  for (const auto& parameter : table) {
    const auto whole = comparison.expected(parameter, &Weight::gradient);
    hold(comparison.error_of(parameter, &Weight::gradient, whole, rounding,
                             [](std::size_t) { return true; }),
         tolerance.gradient, verification.worst_gradient);
  }
  comparison.measure_by(options.compute);
  for (const auto& parameter : table) {
    const auto gradient = comparison.expected(parameter, &Weight::gradient);
    const auto whole = comparison.expected(parameter, &Weight::value);
    // AdamW's first step goes by the sign of a gradient, which rounding may turn where it is small.
    const double uncertain = kWorstElement * tolerance.gradient *
                             std::max(norm_of(gradient), rounding) /
                             std::sqrt(static_cast<double>(parameter.size()));
    // What was zero before is measured by how far it may have moved.
    const double moved =
        options.learning_rate.peak * std::sqrt(static_cast<double>(parameter.size()));
    hold(comparison.error_of(parameter, &Weight::value, whole, moved,
                             [&](std::size_t i) { return std::abs(gradient[i]) > uncertain; }),
         tolerance.weight, verification.worst_weight);
  }
  verification.equivalent = !verification.first_wrong &&
                            verification.loss.relative_error <= tolerance.loss &&
                            verification.gradient_norm.relative_error <= tolerance.gradient;
  return verification;
}

}  // namespace trireme::runtime
