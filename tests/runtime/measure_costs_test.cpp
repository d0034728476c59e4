#include "runtime/train/measure_costs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <vector>

#include "tests/runtime/layout_run.h"
#include "tests/support/model.h"

namespace trireme::runtime {
namespace {

using models::LayerRange;

std::vector<double> numbers_of(const PassCosts& costs) {
  std::vector<double> numbers;
  for (const auto& pass : {costs.forward, costs.backward_input, costs.backward_weight}) {
    numbers.insert(numbers.end(), {pass.embedding, pass.layer, pass.head});
  }
  numbers.push_back(costs.message);
  return numbers;
}

PassCosts measured(test::Device& device, Communicator& world, const Task& task,
                   const Layout& layout) {
  return measure_pass_costs(*device.backend, world, options_of(task, layout));
}

// Every rank must choose the same schedule.
TEST(MeasurePassCosts, TellsEveryRankTheSame) {
  const Task task{.shape = test::tiny_llama()};
  const Layout layout{.tensor = 2, .pipeline = 2};
  std::mutex mutex;
  std::vector<std::vector<double>> all;
  test::on_ranks(layout.ranks(), [&](Communicator& world) {
    test::Device device;
    const auto numbers = numbers_of(measured(device, world, task, layout));
    for (const double number : numbers) EXPECT_GT(number, 0);
    EXPECT_EQ(device.backend->memory().total.current, 0) << "all that was tried is gone";
    const std::scoped_lock lock(mutex);
    all.push_back(numbers);
  });
  for (const auto& numbers : all) EXPECT_EQ(numbers, all.front());
}

TEST(MeasurePassCosts, FindsTheHeadOfALargeVocabularyCostlierThanALayer) {
  Task task{.shape = test::tiny_llama()};
  task.shape.vocab_size = 200000;
  test::on_ranks(1, [&](Communicator& world) {
    test::Device device;
    const PassCosts costs = measured(device, world, task, {});
    EXPECT_GT(costs.forward.head, costs.forward.layer);
    EXPECT_GT(costs.backward_input.head, costs.backward_input.layer);
    EXPECT_GT(costs.backward_weight.head, costs.backward_weight.layer);
  });
}

TEST(MeasurePassCosts, CountsRecomputationAsPartOfTheBackwardPass) {
  const Task task{.shape = test::tiny_llama(), .sequence_length = 256, .micro_batch = 2};
  // What else runs on this machine makes passes slower, never faster.
  const auto backward_share = [&](Recompute mode) {
    double forward = std::numeric_limits<double>::max(), backward = forward;
    test::on_ranks(1, [&](Communicator& world) {
      test::Device device;
      for (int attempt = 0; attempt < 8; ++attempt) {
        const PassCosts costs = measured(device, world, task, {.recompute = mode});
        forward = std::min(forward, costs.forward.layer);
        backward = std::min(backward, costs.backward_input.layer);
      }
    });
    return backward / forward;
  };
  // Half as much again, if not twice.
  EXPECT_GT(backward_share(Recompute::full), 1.2 * backward_share(Recompute::none));
}

TEST(PassCosts, OfStagesAreSharesOfARank) {
  const models::UnitCosts forward{.embedding = 1, .layer = 2, .head = 5};
  const PassCosts costs{.forward = forward,
                        .backward_input = {.embedding = 0, .layer = 3, .head = 5},
                        .backward_weight = {.embedding = 2, .layer = 1, .head = 5},
                        .message = 0.7};
  EXPECT_EQ(costs.whole().embedding, 3);
  EXPECT_EQ(costs.whole().layer, 6);
  EXPECT_EQ(costs.whole().head, 15);
  const std::vector<LayerRange> stages{{.first = 0, .count = 2, .embedding = true},
                                       {.first = 2, .count = 2, .head = true}};
  const auto found = costs.of(stages, 2);  // 5 and 9 forward: 7 on average
  EXPECT_DOUBLE_EQ(found.stages[0].forward, 5.0 / 7);
  EXPECT_DOUBLE_EQ(found.stages[0].backward_input, 6.0 / 7);
  EXPECT_DOUBLE_EQ(found.stages[0].backward_weight, 4.0 / 7);
  EXPECT_DOUBLE_EQ(found.stages[1].forward, 9.0 / 7);
  EXPECT_DOUBLE_EQ(found.stages[1].backward_input, 11.0 / 7);
  EXPECT_DOUBLE_EQ(found.communication, 0.1);
}

}  // namespace
}  // namespace trireme::runtime
