#include "kernels/stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "kernels/cpu/host_stream.h"
#include "tests/support/device.h"

namespace trireme::kernels {
namespace {

TEST(Stream, RunsWorkInTheOrderItWasEnqueued) {
  HostStream stream;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) stream.enqueue([&order, i] { order.push_back(i); });
  stream.synchronize();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(Stream, WaitsForAnotherStream) {
  HostStream first, second;
  std::atomic<bool> done = false;
  first.enqueue([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    done = true;
  });
  second.wait_for(first);
  bool seen = false;
  second.enqueue([&] { seen = done; });
  second.synchronize();
  EXPECT_TRUE(seen);
}

TEST(Stream, ReportsTheFirstFailureOnceAndDropsTheWorkBehindIt) {
  HostStream stream;
  bool ran = false;
  stream.enqueue([] { throw std::runtime_error("first"); });
  stream.enqueue([] { throw std::runtime_error("second"); });
  stream.enqueue([&] { ran = true; });
  try {
    stream.synchronize();
    FAIL() << "no failure was reported";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "first");
  }
  EXPECT_FALSE(ran);
  stream.enqueue([&] { ran = true; });
  stream.synchronize();
  EXPECT_TRUE(ran);
}

TEST(Stream, ReachesEventsBehindAFailure) {
  HostStream failing, waiting;
  failing.enqueue([] { throw std::runtime_error("broken"); });
  waiting.wait_for(failing);
  waiting.synchronize();
  EXPECT_THROW(failing.synchronize(), std::runtime_error);
}

TEST(Stream, AnEventIsReachedWhenTheWorkBeforeItIsDone) {
  HostStream stream;
  std::atomic<bool> go = false;
  stream.enqueue([&] {
    while (!go) std::this_thread::yield();
  });
  const auto event = stream.record();
  EXPECT_FALSE(event->reached());
  go = true;
  event->wait();
  EXPECT_TRUE(event->reached());
}

TEST(Memory, CountsBytesByCategoryAndKeepsPeaks) {
  test::Device device;
  {
    const Tensor a =
        device.backend->allocate(*device.stream, {1, 100}, Dtype::f32, Category::activations);
    const Tensor b =
        device.backend->allocate(*device.stream, {1, 50}, Dtype::f32, Category::optimizer);
    EXPECT_EQ(device.backend->memory().of(Category::activations).current, 400);
    EXPECT_EQ(device.backend->memory().of(Category::optimizer).current, 200);
    EXPECT_EQ(device.backend->memory().total.current, 600);
  }
  EXPECT_EQ(device.backend->memory().total.current, 0);
  EXPECT_EQ(device.backend->memory().total.peak, 600);
  device.backend->reset_memory_peaks();
  EXPECT_EQ(device.backend->memory().total.peak, 0);
}

TEST(Memory, ReusesWhatWasGivenBackOnTheSameStream) {
  test::Device device;
  const auto allocate = [&](Stream& stream) {
    return device.backend->allocate(stream, {1000, 1000}, Dtype::f32, Category::activations);
  };
  void* first = allocate(*device.stream).view().data;
  EXPECT_EQ(allocate(*device.stream).view().data, first);
  const auto reserved = device.backend->memory().reserved;
  const auto other = device.backend->make_stream();
  EXPECT_NE(allocate(*other).view().data, first) << "another stream may still be using it";
  EXPECT_EQ(device.backend->memory().reserved, 2 * reserved);
}

TEST(Memory, ReusesWhatAStreamThatIsGoneLeftBehind) {
  test::Device device;
  const auto allocate = [&](Stream& stream) {
    return device.backend->allocate(stream, {1000, 1000}, Dtype::f32, Category::activations);
  };
  for (int round = 0; round < 3; ++round) {
    // Streams of their own addresses, so that none is taken for another.
    const auto first = device.backend->make_stream(), second = device.backend->make_stream();
    allocate(*first);
  }
  const auto reserved = device.backend->memory().reserved;
  allocate(*device.stream);
  EXPECT_EQ(device.backend->memory().reserved, reserved);
  EXPECT_LT(reserved, 8'000'000) << "one block of 4 MB serves all rounds";
}

TEST(Memory, SurvivesWorkStillEnqueuedWhenATensorIsDropped) {
  test::Device device;
  const Tensor out = device.empty({1, 1000}, Dtype::f64);
  {
    const Tensor a = device.filled({1, 1000}, Dtype::f64, 3);
    host(*device.stream).enqueue([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    });
    device.run(Add{.a = a, .b = a, .out = out});
  }
  const Tensor b = device.filled({1, 1000}, Dtype::f64, 100);
  for (const double value : device.values(out)) EXPECT_EQ(value, 6);
}

TEST(View, RefusesPartsThatAreNotThere) {
  test::Device device;
  const Tensor tensor = device.empty({4, 6}, Dtype::f32);
  EXPECT_THROW(tensor.view().row_range(2, 3), ContractViolation);
  EXPECT_THROW(tensor.view().column_range(-1, 2), ContractViolation);
  EXPECT_THROW(tensor.view().column_range(0, 3).reshaped({2, 6}), ContractViolation);
}

}  // namespace
}  // namespace trireme::kernels
