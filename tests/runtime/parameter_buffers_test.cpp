#include "runtime/model/parameter_buffers.h"

#include <gtest/gtest.h>

#include <vector>

#include "models/shards.h"
#include "tests/support/device.h"
#include "tests/support/model.h"

namespace trireme::runtime {
namespace {

// Large enough for several threads, none of which may be seen.
TEST(ParameterBuffers, HaveTheInitialValuesOfTheirSlices) {
  models::Shape shape = test::tiny_llama();
  shape.vocab_size = 50021;
  shape.hidden_size = 33;
  test::Device device;
  const ParameterBuffers buffers(*device.backend, *device.stream,
                                 models::shards_of(shape, {{0, 1}}, /*tensor_rank=*/1,
                                                   /*tensor_ranks=*/2),
                                 {.bucket_elements = 10'000'000});
  ASSERT_GT(buffers.values(0).columns, 800'000);
  for (int bucket = 0; bucket < buffers.buckets(); ++bucket) {
    const std::vector<float> found = buffers.initial_values(bucket, 11);
    std::vector<float> expected(found.size(), 0.0f);
    for (const auto& slot : buffers.slots()) {
      if (slot.bucket != bucket) continue;
      models::initial_values(slot.parameter(), slot.shard.slice, 11,
                             std::span(expected).subspan(static_cast<std::size_t>(slot.first),
                                                         static_cast<std::size_t>(slot.size())));
    }
    EXPECT_EQ(found, expected);
  }
}

}  // namespace
}  // namespace trireme::runtime
