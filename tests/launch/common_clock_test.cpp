#include "launch/common_clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>

namespace trireme::launch {
namespace {

constexpr double kAhead = 1000;  // seconds

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Rank 1 of two, of which rank 0's clock is ahead.
class TwoRanks final : public Job {
 public:
  int rank() const override { return 1; }
  int size() const override { return 2; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }

  // Rank 0 does what this rank does: it says when it left the time before.
  std::vector<std::string> gather(const std::string& text) override {
    char first[64] = "";
    if (!text.empty()) std::snprintf(first, sizeof first, "%a", left_);
    left_ = now() + kAhead;
    return {first, text};
  }

  std::unique_ptr<runtime::Communicator> make_world(runtime::CommunicatorOptions) override {
    return nullptr;
  }
  std::string description() const override { return "two ranks"; }
  void set_patience(std::chrono::milliseconds) override {}
  [[noreturn]] void fail(int code, const std::string&) override { std::exit(code); }

  double left() const { return left_; }

 private:
  double left_ = 0;
};

TEST(CommonClock, OfAnotherNodeIsThatOfRankZero) {
  TwoRanks job;
  const CommonClock clock = agree_on_clock(job, {"one", "other"});
  const double common = now() + clock.offset;
  EXPECT_NEAR(common, now() + kAhead - job.left(), 1e-2) << "seconds since rank 0 last left";
  EXPECT_GE(clock.uncertainty, 0);
  EXPECT_LT(clock.uncertainty, 1e-2);
}

TEST(CommonClock, OfOneNodeIsOne) {
  TwoRanks job;
  const CommonClock clock = agree_on_clock(job, {"one", "one"});
  EXPECT_EQ(clock.uncertainty, 0);
  EXPECT_NEAR(now() + clock.offset, now() - job.left(), 1e-2);
}

}  // namespace
}  // namespace trireme::launch
