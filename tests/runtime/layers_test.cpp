// Both halves of every layer's backward pass against central differences in fp64.
#include <gtest/gtest.h>

#include <functional>

#include "runtime/model/stage.h"
#include "tests/support/model.h"

namespace trireme::runtime {
namespace {

using kernels::Dtype;
using kernels::Shape;
using kernels::Tensor;
using kernels::View;
using test::Device;

constexpr std::int64_t kSequence = 5;
constexpr std::int64_t kTokens = 2 * kSequence;
constexpr double kStep = 1e-5;

class LayerTest : public testing::Test {
 protected:
  void build(const models::Shape& of) {
    shape = of;
    buffers = test::random_parameters(device, shape, Dtype::f64);
  }

  // What the gradients are of: the sum of `out` weighted by fixed numbers.
  double weighted(View out) {
    const auto values = device.values(out), weights = Device::random_values(out.size(), 99);
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += values[i] * weights[i];
    return sum;
  }
  Tensor weights(Shape of) { return device.random(of, Dtype::f64, 99); }

  Tensor copy(View view) { return device.tensor(view.shape(), view.dtype, device.values(view)); }

  // Compares `gradient` with the change of `objective` as elements of `view` move.
  void expect_slope(View view, View gradient, const std::function<double()>& objective,
                    const std::string& what) {
    const auto claimed = device.values(gradient);
    auto values = device.values(view);
    std::vector<double> measured, at;
    const std::size_t stride = values.size() / 24 + 1;
    for (std::size_t i = 0; i < values.size(); i += stride) {
      const double original = values[i];
      values[i] = original + kStep;
      device.assign(view, values);
      const double above = objective();
      values[i] = original - kStep;
      device.assign(view, values);
      const double below = objective();
      values[i] = original;
      measured.push_back((above - below) / (2 * kStep));
      at.push_back(claimed[i]);
    }
    device.assign(view, values);
    double size = 0;
    for (const double slope : measured) size += slope * slope;
    // The softmax does not see a constant added to every key: that bias has no gradient.
    const bool has_slope = what.find("k_proj.bias") == std::string::npos;
    EXPECT_EQ(size > 1e-12, has_slope || shape.family == models::Family::llama) << what;
    const double error = test::relative_error(at, measured);
    EXPECT_TRUE(error <= 1e-6 || size < 1e-12) << what << ": " << error;
  }

  void expect_parameter_slopes(const std::string& prefix,
                               const std::function<double()>& objective) {
    int found = 0;
    for (const auto& slot : buffers->slots()) {
      if (!slot.parameter().name.starts_with(prefix)) continue;
      const Weight weight = buffers->weight(slot.parameter().name);
      expect_slope(weight.value, weight.gradient, objective, slot.parameter().name);
      ++found;
    }
    EXPECT_GT(found, 0);
  }

  Device device;
  models::Shape shape;
  std::unique_ptr<ParameterBuffers> buffers;
};

class FamilyTest : public LayerTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const std::string family = GetParam();
    models::Shape of = family == "gpt2" ? test::tiny_gpt2() : test::tiny_llama();
    of.qk_norm = family == "qwen3";
    build(of);
    if (shape.family == models::Family::llama) {
      rope.emplace(*device.backend, *device.stream, shape, kSequence, Dtype::f64);
    }
  }

  LayerContext context() {
    return {.backend = *device.backend,
            .buffers = *buffers,
            .shape = shape,
            .ranks = alone,
            .rope = rope ? &*rope : nullptr,
            .sequence = kSequence};
  }

  TensorParallel alone{*device.backend};
  std::optional<RopeTable> rope;
};

TEST_P(FamilyTest, NormGradients) {
  const Norm norm(context(), "model.norm");
  const Tensor x = device.random({kTokens, shape.hidden_size}, Dtype::f64, 5);
  const auto objective = [&] {
    Norm::Saved saved;
    return weighted(norm.forward(*device.stream, x, View(), saved).out);
  };
  Norm::Saved saved;
  norm.forward(*device.stream, x, View(), saved);
  const Tensor d_x = norm.backward(*device.stream, x, weights(x.view().shape()), View(), saved);
  expect_slope(x, d_x, objective, "x");
  expect_parameter_slopes("model.norm", objective);
}

TEST_P(FamilyTest, AttentionGradients) {
  const SelfAttention attention(context(), "model.layers.1.self_attn");
  const Tensor x = device.random({kTokens, shape.hidden_size}, Dtype::f64, 5);
  const auto objective = [&] {
    SelfAttention::Saved saved;
    return weighted(attention.forward(*device.stream, copy(x), saved));
  };
  SelfAttention::Saved saved;
  attention.forward(*device.stream, copy(x), saved);
  const Tensor d_x =
      attention.backward(*device.stream, weights({kTokens, shape.hidden_size}), saved);
  expect_slope(x, d_x, objective, "x");
  expect_parameter_slopes("model.layers.1.self_attn", objective);
}

TEST_P(FamilyTest, FeedForwardGradients) {
  const FeedForward feed_forward(context(), "model.layers.1.mlp");
  const Tensor x = device.random({kTokens, shape.hidden_size}, Dtype::f64, 5);
  const auto objective = [&] {
    FeedForward::Saved saved;
    return weighted(feed_forward.forward(*device.stream, copy(x), saved));
  };
  FeedForward::Saved saved;
  feed_forward.forward(*device.stream, copy(x), saved);
  const Tensor d_x =
      feed_forward.backward(*device.stream, weights({kTokens, shape.hidden_size}), saved);
  expect_slope(x, d_x, objective, "x");
  expect_parameter_slopes("model.layers.1.mlp", objective);
}

TEST_P(FamilyTest, BlockGradients) {
  const Block block(context(), 0);
  const Tensor x = device.random({kTokens, shape.hidden_size}, Dtype::f64, 5);
  const auto objective = [&] {
    Block::Saved saved;
    return weighted(block.forward(*device.stream, copy(x), saved));
  };
  Block::Saved saved;
  block.forward(*device.stream, copy(x), saved);
  const Tensor d_x =
      block.backward_input(*device.stream, weights({kTokens, shape.hidden_size}), saved);
  block.backward_weight(*device.stream, std::move(saved));
  expect_slope(x, d_x, objective, "x");
  expect_parameter_slopes("model.layers.0.", objective);
}

class WholeModelTest : public FamilyTest {
 protected:
  void SetUp() override {
    FamilyTest::SetUp();
    const models::LayerRange whole{.first = 0, .count = 2, .embedding = true, .head = true};
    stage = std::make_unique<Stage>(context(), whole);
    batch = {.tokens = tokens, .target = {.tokens = targets, .loss = loss, .gradient_scale = 1}};
  }

  double evaluate() {
    device.assign(loss, {0});
    stage->evaluate(*device.stream, {}, batch, [](int) {});
    return device.values(loss)[0];
  }

  Stage::Saved forward() {
    Stage::Saved saved;
    stage->forward(*device.stream, {}, batch, saved, [](int) {});
    return saved;
  }

  std::vector<double> gradients() {
    std::vector<double> all;
    for (int b = 0; b < buffers->buckets(); ++b) {
      const auto part = device.values(buffers->gradients(b));
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  const Tensor tokens = device.ids({1, 5, 5, 16, 0, 3, 2, 1, 9, 5});
  const Tensor targets = device.ids({5, 5, 16, 0, -1, 2, 1, 9, 5, 11});
  const Tensor loss = device.filled({1, 1}, Dtype::f64, 0);
  std::unique_ptr<Stage> stage;
  MicroBatch batch;
};

TEST_P(WholeModelTest, EveryParameterHasTheRightGradient) {
  std::vector<int> complete;
  stage->backward(*device.stream, {}, forward(), [&](int unit) { complete.push_back(unit); });
  EXPECT_EQ(complete, (std::vector<int>{3, 2, 1, 0}));
  expect_parameter_slopes("", [&] { return evaluate(); });
}

TEST_P(WholeModelTest, SplitBackwardGivesTheSameBits) {
  stage->backward(*device.stream, {}, forward(), [](int) {});
  const auto together = gradients();
  for (int b = 0; b < buffers->buckets(); ++b)
    device.run(kernels::Fill{.out = buffers->gradients(b), .value = 0});
  Stage::Saved saved = forward();
  stage->backward_input(*device.stream, {}, saved);
  stage->backward_weight(*device.stream, std::move(saved), [](int) {});
  EXPECT_EQ(gradients(), together);
}

TEST_P(WholeModelTest, MicroBatchesInFlightDoNotDisturbEachOther) {
  stage->backward(*device.stream, {}, forward(), [](int) {});
  stage->backward(*device.stream, {}, forward(), [](int) {});
  const auto one_after_the_other = gradients();
  for (int b = 0; b < buffers->buckets(); ++b)
    device.run(kernels::Fill{.out = buffers->gradients(b), .value = 0});
  Stage::Saved first = forward(), second = forward();
  stage->backward_input(*device.stream, {}, first);
  stage->backward_input(*device.stream, {}, second);
  stage->backward_weight(*device.stream, std::move(first), [](int) {});
  stage->backward_weight(*device.stream, std::move(second), [](int) {});
  EXPECT_LE(test::relative_error(gradients(), one_after_the_other), 1e-14);
}

TEST_P(WholeModelTest, BackwardInputFreesWhatTheWeightGradientsDoNotNeed) {
  Stage::Saved saved = forward();
  const auto before = device.backend->memory().of(kernels::Category::activations).current;
  stage->backward_input(*device.stream, {}, saved);
  const auto between = device.backend->memory().of(kernels::Category::activations).current;
  stage->backward_weight(*device.stream, std::move(saved), [](int) {});
  const auto after = device.backend->memory().of(kernels::Category::activations).current;
  EXPECT_LT(after, between);
  // Inputs and output gradients of the products remain; statistics, residuals and scores go.
  EXPECT_LT(between, 2 * before);
  EXPECT_GT(between, after);
}

// Less is held between the passes, and nothing else changes.
TEST_P(WholeModelTest, RecomputationGivesTheSameBitsFromLess) {
  const auto held = [&] {
    return device.backend->memory().of(kernels::Category::activations).current;
  };
  const auto run = [&](const std::vector<Recompute>& recompute, std::int64_t& between) {
    for (int b = 0; b < buffers->buckets(); ++b) {
      device.run(kernels::Fill{.out = buffers->gradients(b), .value = 0});
    }
    device.assign(loss, {0});
    const models::LayerRange whole{.first = 0, .count = 2, .embedding = true, .head = true};
    stage = std::make_unique<Stage>(context(), whole, recompute);
    const std::int64_t before = held();
    Stage::Saved saved = forward();
    between = held() - before;
    stage->backward_input(*device.stream, {}, saved);
    stage->backward_weight(*device.stream, std::move(saved), [](int) {});
    return gradients();
  };
  std::int64_t all = 0, selective = 0, full = 0, half = 0;
  const auto expected = run({}, all);
  EXPECT_EQ(run({Recompute::selective, Recompute::selective}, selective), expected);
  EXPECT_EQ(run({Recompute::full, Recompute::full}, full), expected);
  EXPECT_EQ(run({Recompute::full}, half), expected);
  EXPECT_LT(selective, all);
  EXPECT_LT(full, selective);
  EXPECT_LT(full, half);
  EXPECT_LT(half, all);
}

TEST_P(WholeModelTest, TwoStagesGiveTheBitsOfOne) {
  stage->backward(*device.stream, {}, forward(), [](int) {});
  const auto expected = gradients();
  const double expected_loss = device.values(loss)[0];
  for (int b = 0; b < buffers->buckets(); ++b)
    device.run(kernels::Fill{.out = buffers->gradients(b), .value = 0});
  device.assign(loss, {0});
  const Stage lower(context(), {.first = 0, .count = 1, .embedding = true});
  const Stage upper(context(), {.first = 1, .count = 1, .head = true});
  Stage::Saved below, above;
  upper.forward(*device.stream, lower.forward(*device.stream, {}, batch, below, [](int) {}), batch,
                above, [](int) {});
  Tensor d = upper.backward(*device.stream, {}, std::move(above), [](int) {});
  lower.backward(*device.stream, std::move(d), std::move(below), [](int) {});
  EXPECT_EQ(device.values(loss)[0], expected_loss);
  EXPECT_EQ(gradients(), expected);
}

const auto kFamilies = testing::Values("llama", "gpt2", "qwen3");
const auto kFamilyName = [](const auto& family) { return std::string(family.param); };
INSTANTIATE_TEST_SUITE_P(Families, FamilyTest, kFamilies, kFamilyName);
INSTANTIATE_TEST_SUITE_P(Families, WholeModelTest, kFamilies, kFamilyName);

}  // namespace
}  // namespace trireme::runtime
