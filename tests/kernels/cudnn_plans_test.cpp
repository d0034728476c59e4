// cuDNN itself, without a device: whether it knows kernels for the graphs of attention on an H100,
// which is described to it.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "kernels/cuda/cudnn_attention.h"

namespace trireme::kernels {
namespace {

struct Case {
  AttentionShape shape;
  Dtype dtype = Dtype::bf16;
};

class CudnnPlansTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!library) GTEST_SKIP() << "no cuDNN on this machine";
    std::ifstream file(H100_FOR_CUDNN);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    h100.emplace(*library, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    h100->set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
              static_cast<std::int64_t>(text.size()), text.data());
    h100->finalize();
  }

  template <class Op>
  std::int64_t known_ways(const Op& op) {
    op.validate();
    return graph_of(*library, op).known_ways({.properties = &*h100});
  }

  const std::optional<CudnnLibrary> library = load_cudnn();
  std::optional<CudnnDescriptor> h100;
};

TEST_P(CudnnPlansTest, KnowsAKernelForwardAndBackward) {
  alignas(16) static std::byte nothing[16];
  const auto& [shape, dtype] = GetParam();
  constexpr std::int64_t kSequences = 2;
  const std::int64_t tokens = kSequences * shape.sequence;
  const std::int64_t q = shape.heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
  const View qkv(nothing, {tokens, q + 2 * kv}, dtype), out(nothing, {tokens, q}, dtype);
  const View log_sum_exp(nothing, {kSequences * shape.heads, shape.sequence}, Dtype::f32);
  const View queries = qkv.column_range(0, q), keys = qkv.column_range(q, kv);
  const View values = qkv.column_range(q + kv, kv);
  const AttentionBackward gradient{.q = queries,
                                   .k = keys,
                                   .v = values,
                                   .out = out,
                                   .log_sum_exp = log_sum_exp,
                                   .d_out = out,
                                   .d_q = queries,
                                   .d_k = keys,
                                   .d_v = values,
                                   .shape = shape,
                                   .scale = 0.1};
  EXPECT_GE(known_ways(forward_of(gradient)), 1);
  EXPECT_GE(known_ways(gradient), 1);
}

INSTANTIATE_TEST_SUITE_P(Models, CudnnPlansTest,
                         testing::Values(Case{{1024, 12, 12, 64}}, Case{{1024, 25, 25, 64}},
                                         Case{{8192, 32, 8, 64}}, Case{{8192, 24, 8, 128}},
                                         Case{{8192, 32, 8, 128}},
                                         Case{{8192, 8, 1, 128}, Dtype::f16},
                                         Case{{1000, 6, 2, 40}}, Case{{4096, 16, 16, 256}}),
                         [](const auto& of) {
                           const AttentionShape& shape = of.param.shape;
                           return std::to_string(shape.sequence) + "_" +
                                  std::to_string(shape.heads) + "_" +
                                  std::to_string(shape.kv_heads) + "_" +
                                  std::to_string(shape.head_dim);
                         });

}  // namespace
}  // namespace trireme::kernels
