#include <gtest/gtest.h>

#include "tests/schedules/search_targets.h"

// Every known best, with the effort that users get. Takes about an hour.
namespace trireme::schedules {
namespace {

const nlohmann::json& shapes() {
  static const nlohmann::json all = golden("schedule_targets.json").at("shapes");
  return all;
}

std::string name_of(const nlohmann::json& shape) {
  return shape.at("placement").get<std::string>() + "_p" + shape.at("p").dump() + "_m" +
         shape.at("m").dump() + "_v" + shape.at("v").dump();
}

class KnownBest : public testing::TestWithParam<std::size_t> {
 protected:
  void expect_all_reached(Objective objective) const {
    for (const Target& target : targets_of(shapes()[GetParam()])) {
      expect_reached(target, objective, /*effort=*/1);
    }
  }
};

TEST_P(KnownBest, MakespanIsReached) { expect_all_reached(Objective::makespan); }
TEST_P(KnownBest, SpanIsReached) { expect_all_reached(Objective::span); }

INSTANTIATE_TEST_SUITE_P(Shapes, KnownBest, testing::Range<std::size_t>(0, shapes().size()),
                         [](const auto& one) { return name_of(shapes()[one.param]); });

// The automatic schedules of tables 5 and 8 of the zero-bubble paper (arXiv:2401.10241).
TEST(PublishedBubbles, OfAutomaticSchedulesAreReached) {
  int rows = 0;
  for (const auto& row : golden("schedule_bubbles.json")) {
    const std::string kind = row.at("kind");
    const bool v = kind == "zb_v_auto";
    if (!v && kind != "zb_1p" && kind != "zb_2p") continue;
    SCOPED_TRACE(row.dump());
    ++rows;
    const auto times = row.at("times").get<std::vector<double>>();
    const int ranks = row.at("p");
    Target target{.name = kind,
                  .placement = v ? Placement::v(ranks) : Placement::loop(ranks, 1),
                  .micro_batches = row.at("m"),
                  .limit = (kind == "zb_2p" ? 2.0 : 1.0) * ranks,
                  .weight_fraction = row.at("weight_fraction")};
    const StageCost share{times[0], times[1], times[2]};
    target.costs = Costs::even(target.placement, share, times[3]);
    const double work = target.micro_batches * share.whole();
    constexpr double kLastDigit = 0.5e-4;
    target.span = work / (1 - row.at("published").get<double>() - kLastDigit);
    expect_reached(target, Objective::span, /*effort=*/1);
  }
  EXPECT_EQ(rows, 33);
}

}  // namespace
}  // namespace trireme::schedules
