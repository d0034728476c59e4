#include "checkpoints/block_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

namespace trireme::checkpoints {
namespace {

constexpr std::size_t kBytes = 16;

void push(BlockQueue& queue, const std::string& text) {
  std::ranges::copy(std::as_bytes(std::span(text)), queue.block().begin());
  queue.push(text.size());
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(BlockQueueTest, BlocksAreUsedInOrderWithWhatWasPutIntoThem) {
  std::string used, pushed;
  BlockQueue queue(kBytes, [&](std::span<const std::byte> block) { used += text_of(block) + ";"; });
  for (int i = 0; i < 1000; ++i) {
    push(queue, std::to_string(i));
    pushed += std::to_string(i) + ";";
  }
  queue.finish();
  EXPECT_EQ(used, pushed);
}

TEST(BlockQueueTest, AFailureReachesWhoFillsAndNothingAfterItIsUsed) {
  std::atomic<int> used = 0;
  BlockQueue queue(kBytes, [&](std::span<const std::byte> block) {
    if (text_of(block) == "2") throw std::runtime_error("disk is full");
    ++used;
  });
  const auto push_many = [&] {
    for (int i = 0; i < 100; ++i) push(queue, std::to_string(i));
  };
  EXPECT_THROW(push_many(), std::runtime_error);
  EXPECT_THROW(queue.finish(), std::runtime_error);
  EXPECT_EQ(used, 2);
}

TEST(BlockQueueTest, AFailureOfTheLastBlockIsNotLost) {
  BlockQueue queue(kBytes, [](std::span<const std::byte>) { throw std::runtime_error("full"); });
  push(queue, "last");
  EXPECT_THROW(queue.finish(), std::runtime_error);
}

TEST(BlockQueueTest, WhoGivesUpDoesNotWaitForAllBlocks) {
  std::atomic<int> used = 0;
  std::atomic<bool> may_go_on = false;
  const std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    may_go_on = true;
    may_go_on.notify_all();
  });
  {
    BlockQueue queue(kBytes, [&](std::span<const std::byte>) {
      may_go_on.wait(false);
      ++used;
    });
    for (int i = 0; i < 3; ++i) push(queue, "block");
  }
  EXPECT_LE(used, 1);
}

}  // namespace
}  // namespace trireme::checkpoints
