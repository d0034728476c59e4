#include "schedules/head_start.h"

#include <gtest/gtest.h>

#include <random>

#include "schedules/text.h"
#include "tests/schedules/every_kind.h"
#include "tests/schedules/random_schedule.h"

namespace trireme::schedules {
namespace {

std::vector<int> actions_of(const Schedule& schedule) {
  return head_start(lower(schedule)).actions;
}

TEST(HeadStart, IsTheWarmupOfOneForwardOneBackward) {
  EXPECT_EQ(actions_of(one_f_one_b({.ranks = 4, .micro_batches = 8})),
            (std::vector<int>{4, 3, 2, 1}));
  EXPECT_EQ(actions_of(one_f_one_b({.ranks = 4, .micro_batches = 2})),
            (std::vector<int>{2, 2, 2, 1}));
}

TEST(HeadStart, IsEveryForwardPassOfGPipe) {
  EXPECT_EQ(actions_of(gpipe({.ranks = 3, .micro_batches = 5})), (std::vector<int>{5, 5, 5}));
}

// The last rank's gradient comes before the forward pass that rank 0 begins with after its first
// two, so what that one needs may never be made.
TEST(HeadStart, EndsWhereAnotherRankWouldHaveToGoBackwardFirst) {
  Schedule schedule = one_f_one_b({.ranks = 2, .micro_batches = 3});
  schedule.placement = Placement::loop(2, 2);
  schedule.ranks = {parse_rank("0F0 0F1 2F0 2F1 2BW0 2BW1 0BW0 0BW1", ""),
                    parse_rank("1F0 3F0 3BW0 1F1 3F1 3BW1 1BW0 1BW1", "")};
  schedule.micro_batches = 2;
  EXPECT_EQ(actions_of(schedule), (std::vector<int>{3, 2}));
}

// Ranks only do what others' head starts let them do, and everything that is sent has been made,
// after everything that goes before it.
void expect_closed(const Program& program) {
  const HeadStart start = head_start(program);
  for (std::size_t rank = 0; rank < start.actions.size(); ++rank) {
    const auto count = static_cast<std::size_t>(start.actions[rank]);
    const auto& actions = program.schedule.ranks[rank];
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(actions[i].pass, Pass::forward);
    EXPECT_FALSE(count > 0 && actions[count - 1].overlaps_next) << "half a pair";
  }
  const auto within = [&](const ActionPlace& place) {
    return place.position < start.actions[static_cast<std::size_t>(place.rank)];
  };
  for (std::size_t i = 0; i < program.transfers.size(); ++i) {
    const Transfer& transfer = program.transfers[i];
    if (within(transfer.consumer)) {
      EXPECT_TRUE(start.transfers[i]);
    }
    if (!start.transfers[i]) continue;
    EXPECT_TRUE(within(transfer.producer));
    for (std::size_t j = 0; j < program.transfers.size(); ++j) {
      const Transfer& before = program.transfers[j];
      if (before.channel == transfer.channel && before.number < transfer.number) {
        EXPECT_TRUE(start.transfers[j]);
      }
    }
  }
}

TEST(HeadStart, NeedsNothingFromOutside) {
  for (const auto& [name, schedule] : every_kind()) {
    SCOPED_TRACE(name);
    expect_closed(lower(schedule));
  }
  std::mt19937 dice(5);
  for (int i = 0; i < 200; ++i) {
    SCOPED_TRACE(i);
    const auto placement = random_placement(dice);
    const int micro_batches = between(1, 5, dice) * placement.copies();
    expect_closed(lower(RandomScheduler(placement, micro_batches, dice).run()));
  }
}

}  // namespace
}  // namespace trireme::schedules
