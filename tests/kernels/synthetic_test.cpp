#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <limits>
#include <vector>

#include "kernels/synthetic/synthetic_backend.h"

namespace trireme::kernels {
namespace {

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

TEST(SyntheticBackend, TakesTimeAndNoCore) {
  SyntheticBackend backend({});
  const auto stream = backend.make_stream();
  SyntheticBackend::Interval first, second;
  const double start = seconds();
  const auto cores = std::clock();
  backend.pause(*stream, 0.05, &first);
  backend.pause(*stream, 0.02, &second);
  EXPECT_LT(seconds() - start, 0.04);  // enqueued, not waited for
  stream->synchronize();
  EXPECT_GE(seconds() - start, 0.07);
  EXPECT_GE(first.end - first.start, 0.05);
  EXPECT_GE(second.end - first.start, 0.07);
  EXPECT_GE(second.start, first.end);
  EXPECT_LT(static_cast<double>(std::clock() - cores) / CLOCKS_PER_SEC, 0.05);
}

// The kernel ends every one of these 20 to 100 microseconds late.
TEST(SyntheticBackend, PausesTakeTheirTimeOnAverage) {
  constexpr int kPauses = 400;
  SyntheticBackend backend({});
  // A busy machine may keep a round waiting, but hardly every one of forty.
  constexpr double kMost = 0.103;
  double fastest = std::numeric_limits<double>::infinity();
  for (int round = 0; round < 40 && fastest >= kMost; ++round) {
    const auto stream = backend.make_stream();  // a new one has nothing to make up for
    std::vector<SyntheticBackend::Interval> ran(kPauses);
    for (auto& one : ran) backend.pause(*stream, 0.1 / kPauses, &one);
    stream->synchronize();
    fastest = std::min(fastest, ran.back().end - ran.front().start);
  }
  EXPECT_GE(fastest, 0.0999);
  EXPECT_LT(fastest, kMost);
}

TEST(SyntheticBackend, AnOperationTakesTheTimeOfItsCost) {
  SyntheticBackend backend({.flops_per_second = 1e6, .bytes_per_second = 1e9});
  const auto stream = backend.make_stream();
  const Tensor a = backend.allocate(*stream, {20, 50}, Dtype::f32, Category::workspace);
  const Tensor b = backend.allocate(*stream, {50, 20}, Dtype::f32, Category::workspace);
  const Tensor out = backend.allocate(*stream, {20, 20}, Dtype::f32, Category::workspace);
  const double start = seconds();
  backend.run(*stream, Matmul{.a = a, .b = b, .out = out});  // 2 * 20 * 50 * 20 FLOP
  stream->synchronize();
  EXPECT_GE(seconds() - start, 0.04);
}

}  // namespace
}  // namespace trireme::kernels
