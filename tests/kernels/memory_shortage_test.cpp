// What an operation says when there is no memory left for what it works with.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "tests/support/device.h"

// There in programs made with the address sanitizer, which ends them when memory is short.
extern "C" void __asan_poison_memory_region(void const volatile* address, std::size_t bytes)
    __attribute__((weak));

namespace trireme::kernels {
namespace {

using test::Device;

// From now on this process gets next to no more.
void forbid_more_memory() {
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t most = pages * 4096 + (rlim_t{2} << 20);
  const rlimit limit{.rlim_cur = most, .rlim_max = most};
  if (setrlimit(RLIMIT_AS, &limit) != 0) std::abort();
}

// Ends the process: 3 when the operation failed as it should.
template <class Make>
void run_without_memory(const Make& make) {
  constexpr AttentionShape kShape{.sequence = 4096, .heads = 4, .kv_heads = 4, .head_dim = 128};
  Device device(2);
  const Shape all{4096, 512};
  const Tensor q = device.random(all, Dtype::f32, 1), out = device.filled(all, Dtype::f32, 0),
               log_sum_exp = device.filled({4, 4096}, Dtype::f32, 0);
  forbid_more_memory();
  try {
    device.run(make(Attention{.q = q,
                              .k = q,
                              .v = q,
                              .out = out,
                              .log_sum_exp = log_sum_exp,
                              .shape = kShape,
                              .scale = 0.1}));
    device.stream->synchronize();
  } catch (const DeviceError& error) {
    std::cerr << error.what();
    std::exit(3);
  }
  std::exit(0);
}

class MemoryShortageTest : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    if (__asan_poison_memory_region != nullptr) GTEST_SKIP() << "the sanitizer ends the process";
  }
};

TEST_F(MemoryShortageTest, AnyThreadOfAttentionMayMeetIt) {
  EXPECT_EXIT(run_without_memory([](const Attention& op) { return op; }),
              testing::ExitedWithCode(3), "out of host memory: .* of an operation's scratch space");
}

TEST_F(MemoryShortageTest, AnyThreadOfItsGradientMayMeetIt) {
  const auto gradient = [](const Attention& op) {
    return AttentionBackward{.q = op.q,
                             .k = op.k,
                             .v = op.v,
                             .out = op.out,
                             .log_sum_exp = op.log_sum_exp,
                             .d_out = op.out,
                             .d_q = op.out,
                             .d_k = op.out,
                             .d_v = op.out,
                             .shape = op.shape,
                             .scale = op.scale};
  };
  EXPECT_EXIT(run_without_memory(gradient), testing::ExitedWithCode(3),
              "out of host memory: .* of an operation's scratch space");
}

}  // namespace
}  // namespace trireme::kernels
