#include "schedules/drawing.h"

#include <gtest/gtest.h>

#include <locale>

#include "schedules/chart.h"
#include "schedules/svg.h"
#include "schedules/trace.h"
#include "tests/schedules/drawing_examples.h"

namespace trireme::schedules {
namespace {

// A locale with decimal commas and grouped digits, as long as it lives.
class CommaLocale {
 public:
  CommaLocale() : before_(std::locale::global(std::locale(std::locale(), new Commas))) {}
  CommaLocale(const CommaLocale&) = delete;
  CommaLocale& operator=(const CommaLocale&) = delete;
  ~CommaLocale() { std::locale::global(before_); }

 private:
  struct Commas : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  std::locale before_;
};

TEST(Drawing, WritesNumbersShort) {
  EXPECT_EQ(decimal_text(0.1 + 0.2, 6), "0.3");
  EXPECT_EQ(decimal_text(100, 2), "100");
  EXPECT_EQ(decimal_text(-0.0001, 2), "0");
  EXPECT_EQ(decimal_text(2.005e-3, 6), "0.002005");
  EXPECT_EQ(short_text(0.0123456), "0.01235");
  EXPECT_EQ(short_text(1234567), "1234567");
  EXPECT_EQ(short_text(27.25), "27.25");
  EXPECT_EQ(short_text(0), "0");
  EXPECT_EQ(percent_text(0.5), "50.0%");
}

TEST(Drawing, StepsOfAnAxisAreRound) {
  EXPECT_DOUBLE_EQ(round_step(1), 1);
  EXPECT_DOUBLE_EQ(round_step(1.1), 2);
  EXPECT_DOUBLE_EQ(round_step(3), 5);
  EXPECT_DOUBLE_EQ(round_step(0.06), 0.1);
  EXPECT_DOUBLE_EQ(round_step(700), 1000);
}

TEST(Drawing, ChoosesBothEndsAndEvenGaps) {
  EXPECT_EQ(evenly_chosen(3, 64), (std::vector{0, 1, 2}));
  EXPECT_EQ(evenly_chosen(9, 3), (std::vector{0, 4, 8}));
  EXPECT_EQ(evenly_chosen(16, 4), (std::vector{0, 5, 10, 15}));
  EXPECT_EQ(evenly_chosen(1, 4), (std::vector{0}));
}

TEST(Drawing, NumbersTheChunksOfARank) {
  const Schedule v = zb_v({.ranks = 4, .micro_batches = 8, .virtual_stages = 2});
  EXPECT_EQ(Chunks(v).of({.stage = 3}), 0);
  EXPECT_EQ(Chunks(v).of({.stage = 4}), 1);
  const Schedule both_ways = dual_pipe({.ranks = 4, .micro_batches = 8});
  EXPECT_EQ(Chunks(both_ways).of({.stage = 3, .micro_batch = 3}), 0);
  EXPECT_EQ(Chunks(both_ways).of({.stage = 3, .micro_batch = 4}), 1);
}

TEST(Drawing, IsTheSameInEveryLocale) {
  const Example e = example("zb_h1", zb_h1({.ranks = 4, .micro_batches = 8}));
  const auto draw = [&] {
    return chart(e.schedule, e.timeline, {}) + svg(e.schedule, e.timeline, {}) +
           perfetto_trace(e.schedule, e.timeline, {});
  };
  const std::string usual = draw();
  const CommaLocale commas;
  ASSERT_EQ((std::ostringstream() << 0.5).str(), "0,5");
  EXPECT_EQ(draw(), usual);
}

}  // namespace
}  // namespace trireme::schedules
