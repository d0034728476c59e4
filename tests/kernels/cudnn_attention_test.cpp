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
  const auto expect_the_same = [&](AttentionTrial& trial, const auto& op) {
    launch(Queue(*device.stream, *pool), op);
    trial.expect_these_results();
    trial.forget_results();
    EXPECT_TRUE(std::isnan(trial.error())) << "forgotten";
    const auto plans = graph_of(*library, op).plans({.handle = &handle}, 1);
    const Tensor workspace = device.filled(
        {1, static_cast<std::int64_t>(workspace_bytes(plans.at(0), op)) / 4 + 1}, Dtype::f32, NAN);
    launch(plans[0], &handle, op, workspace);
    EXPECT_LT(trial.error(), 1e-2);
  };
  struct Case {
    AttentionShape shape;
    Dtype dtype;
    std::int64_t sequences;
  };
  for (const auto& [shape, dtype, sequences] :
       {Case{{2, 2, 1, 8}, Dtype::f16, 2}, Case{{17, 4, 2, 16}, Dtype::bf16, 2},
        Case{{33, 3, 3, 24}, Dtype::f16, 1}, Case{{66, 2, 1, 8}, Dtype::bf16, 1}}) {
    SCOPED_TRACE(testing::Message() << shape.heads << " heads, " << name_of(dtype));
    const AttentionBackward like = layout(shape, sequences, dtype);
    AttentionTrial forward(*pool, *device.stream, forward_of(like));
    expect_the_same(forward, forward.forward());
    AttentionTrial backward(*pool, *device.stream, like);
    expect_the_same(backward, backward.backward());
  }
}

TEST_F(CudnnAttentionTest, ATrialLaysOutItsOperandsLikeTheModel) {
  const auto pool = make_device_pool(0);
  Device device;
  const AttentionBackward like = layout({4, 4, 2, 8}, 2, Dtype::bf16);
  AttentionTrial trial(*pool, *device.stream, like);
  const auto bytes_between = [](const View& a, const View& b) {
    return static_cast<const std::byte*>(b.data) - static_cast<const std::byte*>(a.data);
  };
  const AttentionBackward& op = trial.backward();
  op.validate();
  EXPECT_EQ(bytes_between(op.q, op.k), bytes_between(like.q, like.k));
  EXPECT_EQ(bytes_between(op.d_q, op.d_v), bytes_between(like.d_q, like.d_v));
  EXPECT_NE(op.q.data, op.d_q.data);
  EXPECT_NE(device.values(op.k), device.values(op.v));
}

TEST_F(CudnnAttentionTest, OldVersionsAreAskedForWholeTilesOnly) {
  CudnnLibrary library = *load_cudnn();
  const auto is_for_sequence = [&](std::int64_t sequence) {
    return is_for(library, layout({sequence, 4, 2, 8}, 1, Dtype::bf16));
  };
  EXPECT_TRUE(is_for_sequence(100));
  EXPECT_FALSE(is_for_sequence(1)) << "a gradient of nothing but rounding";
  library.version = 91002;
  EXPECT_FALSE(is_for_sequence(100));
  EXPECT_TRUE(is_for_sequence(256));
}

TEST(LargestError, IsThatOfTheWorstBlock) {
  const auto error = [](const std::vector<float>& values, const std::vector<float>& expected) {
    return largest_error(values, expected, 4, {.block = {2, 2}, .sequence = 3});
  };
  const std::vector<float> ones(24, 1.0f);
  EXPECT_EQ(error(ones, ones), 0);
  std::vector<float> wrong = ones;
  wrong[8] = 0;  // the third row of a sequence is a block of its own
  EXPECT_DOUBLE_EQ(error(wrong, ones), std::sqrt(0.5));
  wrong[8] = 1;
  wrong[0] = 2;
  EXPECT_DOUBLE_EQ(error(wrong, ones), 0.5);
  wrong[23] = NAN;
  EXPECT_TRUE(std::isnan(error(wrong, ones)));
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
