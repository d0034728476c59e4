// Attention by cuDNN: what its graphs compute, and when they are used.
#include "kernels/cuda/cudnn_attention.h"

#include <cudnn_graph.h>
#include <gtest/gtest.h>

#include "kernels/cuda/attention_trial.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/device_pool.h"
#include "kernels/cuda/operations.h"
#include "tests/support/device.h"

namespace trireme::kernels {
namespace {

using test::Device;

class CudnnAttentionTest : public testing::Test {
 protected:
  CudnnAttentionTest() { dnn_ways = {0}; }
  ~CudnnAttentionTest() override {
    dnn_ways = {};
    dnn_relative_error = 0;
  }
};

// An operation whose operands are laid out as a model has them: queries, keys and values beside
// each other. Its memory is never touched.
AttentionBackward layout(AttentionShape shape, std::int64_t sequences, Dtype dtype) {
  alignas(16) static std::byte nothing[16];
  const std::int64_t tokens = sequences * shape.sequence;
  const std::int64_t q = shape.heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
  const View qkv(nothing, {tokens, q + 2 * kv}, dtype), out(nothing, {tokens, q}, dtype);
  const View log_sum_exp(nothing, {sequences * shape.heads, shape.sequence}, Dtype::f32);
  return {.q = qkv.column_range(0, q),
          .k = qkv.column_range(q, kv),
          .v = qkv.column_range(q + kv, kv),
          .out = out,
          .log_sum_exp = log_sum_exp,
          .d_out = out,
          .d_q = qkv.column_range(0, q),
          .d_k = qkv.column_range(q, kv),
          .d_v = qkv.column_range(q + kv, kv),
          .shape = shape,
          .scale = 0.3};
}

TEST_F(CudnnAttentionTest, GraphsComputeWhatTheOwnKernelsDo) {
  const auto pool = make_device_pool(0);
  Device device;
  const auto library = load_cudnn();
  DnnHandle handle{.stream = native(*device.stream)};
  const auto by_cudnn = [&](const auto& op) {
    const auto plans = graph_of(*library, op).plans({.handle = &handle}, 1);
    const std::size_t bytes = workspace_bytes(plans.at(0), op);
    void* memory = pool->allocate(bytes, *device.stream, Category::workspace);
    launch(plans[0], &handle, op, static_cast<std::byte*>(memory));
    device.stream->synchronize();
    pool->release(memory, bytes, *device.stream, Category::workspace);
  };
  for (const AttentionShape shape : {AttentionShape{1, 2, 1, 8}, AttentionShape{17, 4, 2, 16},
                                     AttentionShape{33, 3, 3, 24}, AttentionShape{20, 6, 1, 32}}) {
    for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
      SCOPED_TRACE(testing::Message() << shape.heads << " heads, " << name_of(dtype));
      const AttentionBackward like = layout(shape, 2, dtype);
      AttentionTrial forward(*pool, *device.stream,
                             Attention{.q = like.q,
                                       .k = like.k,
                                       .v = like.v,
                                       .out = like.out,
                                       .log_sum_exp = like.log_sum_exp,
                                       .shape = shape,
                                       .scale = like.scale});
      launch(native(*device.stream), forward.forward());
      auto expected = forward.results();
      ASSERT_EQ(expected.size(), 2u);
      forward.forget_results();
      EXPECT_FALSE(largest_error(forward.results(), expected) < 1) << "forgotten";
      by_cudnn(forward.forward());
      EXPECT_LT(largest_error(forward.results(), expected), 1e-2);

      AttentionTrial backward(*pool, *device.stream, like);
      launch(native(*device.stream), backward.backward());
      expected = backward.results();
      ASSERT_EQ(expected.size(), 3u);
      backward.forget_results();
      by_cudnn(backward.backward());
      // A sequence of one has weights of one: d_q and d_k are rounding.
      const auto results = backward.results();
      EXPECT_LT(largest_error({results[2]}, {expected[2]}), 1e-2);
      if (shape.sequence > 1) EXPECT_LT(largest_error(results, expected), 1e-2);
    }
  }
}

TEST_F(CudnnAttentionTest, TheErrorOfResultsIsThatOfTheWorst) {
  EXPECT_DOUBLE_EQ(largest_error({{3, 4}, {1, 0}}, {{3, 4}, {2, 0}}), 0.5);
  EXPECT_TRUE(std::isnan(largest_error({{NAN, 4}, {1, 0}}, {{3, 4}, {1, 0}})));
}

// Whether attention of some size was done by cuDNN, once ways have been tried.
class ChoiceTest : public CudnnAttentionTest {
 protected:
  bool takes_cudnn(int ways, Dtype dtype = Dtype::bf16) {
    const AttentionShape shape{4, 1, 1, 8};
    const Tensor q = device.random({4, 8}, dtype, 1), kv = device.random({4, 8}, dtype, 2),
                 out = device.filled({4, 8}, dtype, NAN),
                 log_sum_exp = device.filled({1, 4}, Dtype::f32, NAN);
    const Attention op{.q = q,
                       .k = kv,
                       .v = kv,
                       .out = out,
                       .log_sum_exp = log_sum_exp,
                       .shape = shape,
                       .scale = 1};
    device.backend->try_ways(ways);
    device.run(op);
    device.backend->try_ways(0);
    const int before = dnn_executions;
    device.run(op);
    const auto values = device.values(out);
    for (std::size_t c = 0; c < 8; ++c) {
      EXPECT_NEAR(values[c], device.values(kv)[c], 1e-2) << "the first query sees one key";
    }
    return dnn_executions > before;
  }

  Device device;
};

TEST_F(ChoiceTest, TakesTheFasterOfTheTwoWhenWaysAreTried) {
  EXPECT_FALSE(takes_cudnn(0)) << "the same bits every time";
  EXPECT_TRUE(takes_cudnn(2)) << "known before, but not tried";
  EXPECT_TRUE(takes_cudnn(0)) << "as tried";
}

TEST_F(ChoiceTest, KeepsItsOwnWhereCudnnIsSlower) {
  dnn_ways = {300};
  EXPECT_FALSE(takes_cudnn(1));
}

TEST_F(ChoiceTest, TakesTheFastestOfThoseThatCan) {
  dnn_ways = {-1, 100, 0, 50};
  EXPECT_TRUE(takes_cudnn(8));
  EXPECT_EQ(dnn_last_way, 2) << "of the first two that can";
}

TEST_F(ChoiceTest, RefusesWhatComputesSomethingElse) {
  dnn_relative_error = 0.05f;
  EXPECT_FALSE(takes_cudnn(1));
}

TEST_F(ChoiceTest, GoesOnWithoutAnyWay) {
  dnn_ways = {};
  EXPECT_FALSE(takes_cudnn(1));
  dnn_ways = {-1, -1};
  EXPECT_FALSE(takes_cudnn(2));
}

TEST_F(ChoiceTest, AsksForNothingThatIsNotForTensorCores) {
  EXPECT_FALSE(takes_cudnn(1, Dtype::f32));
}

}  // namespace
}  // namespace trireme::kernels
