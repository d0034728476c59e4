#include "schedules/program.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "schedules/check.h"
#include "schedules/generate.h"
#include "schedules/text.h"
#include "tests/schedules/every_kind.h"
#include "tests/schedules/random_schedule.h"

namespace trireme::schedules {
namespace {

using Kind = Instruction::Kind;

Schedule two_ranks(const std::string& first, const std::string& second, int micro_batches) {
  return {.kind = "test",
          .placement = Placement::loop(2, 1),
          .micro_batches = micro_batches,
          .ranks = {parse_rank(first, ""), parse_rank(second, "")}};
}

std::vector<std::string> texts(const Program& program, int rank) {
  std::vector<std::string> all;
  for (const auto& instruction : program.ranks[static_cast<std::size_t>(rank)]) {
    all.push_back(to_text(program, rank, instruction));
  }
  return all;
}

std::size_t edges_between_ranks(const Schedule& schedule) {
  std::size_t messages = 0;
  for (int stage = 1; stage < schedule.placement.stages; ++stage) {
    for (int i = 0; i < schedule.micro_batches; ++i) {
      if (schedule.rank_of(stage, i) != schedule.rank_of(stage - 1, i)) messages += 2;
    }
  }
  return messages;
}

TEST(Lowering, SendsWhatTheNextStageNeedsAndReceivesBeforeUse) {
  const Program program = lower(two_ranks("0F0 0B0 0W0", "1F0 1B0 1W0", 1));
  EXPECT_EQ(texts(program, 0),
            (std::vector<std::string>{"run 0F0", "send 0F0 to 1", "receive 1B0 from 1", "run 0B0",
                                      "release 1B0 from 1", "run 0W0"}));
  EXPECT_EQ(texts(program, 1),
            (std::vector<std::string>{"receive 0F0 from 0", "run 1F0", "release 0F0 from 0",
                                      "run 1B0", "send 1B0 to 0", "run 1W0"}));
}

TEST(Lowering, GivesEverySourceDestinationAndPayloadOneChannelOfTwoSlots) {
  const Program program = lower(one_f_one_b({.ranks = 3, .micro_batches = 4}));
  const std::vector<Channel> expected = {{0, 1, Payload::activation, 2},
                                         {1, 2, Payload::activation, 2},
                                         {1, 0, Payload::gradient, 2},
                                         {2, 1, Payload::gradient, 2}};
  ASSERT_EQ(program.channels.size(), expected.size());
  for (const Channel& channel : expected) {
    EXPECT_NE(std::find(program.channels.begin(), program.channels.end(), channel),
              program.channels.end());
  }
}

TEST(Lowering, SendsNothingToAStageOnTheSameRank) {
  const Program program = lower(zb_v({.ranks = 2, .micro_batches = 3, .virtual_stages = 2}));
  for (const Transfer& transfer : program.transfers) {
    const Channel& channel = program.channels[static_cast<std::size_t>(transfer.channel)];
    EXPECT_NE(channel.source, channel.destination);
  }
  EXPECT_EQ(program.transfers.size(), 3u * 4u);  // four hops per micro-batch, none at the turn
}

TEST(Lowering, OfAnOverlappedPairReceivesAllBeforeAndSendsAllAfter) {
  const Schedule schedule = dual_pipe({.ranks = 2, .micro_batches = 4});
  const Program program = lower(schedule);
  int pairs = 0;
  for (std::size_t rank = 0; rank < 2; ++rank) {
    const auto& instructions = program.ranks[rank];
    for (std::size_t i = 0; i + 1 < instructions.size(); ++i) {
      if (instructions[i].kind != Kind::run) continue;
      const auto at = static_cast<std::size_t>(instructions[i].index);
      if (!schedule.ranks[rank][at].overlaps_next) continue;
      ++pairs;
      EXPECT_EQ(instructions[i + 1].kind, Kind::run) << "nothing comes between the two";
    }
  }
  EXPECT_GT(pairs, 0);
}

TEST(Lowering, RefusesAChannelWithoutSlots) {
  try {
    lower(one_f_one_b({.ranks = 2, .micro_batches = 2}), 0);
    FAIL() << "accepted";
  } catch (const ScheduleError& error) {
    EXPECT_STREQ(error.what(), "receive slots must be at least 1, got 0");
  }
}

// Rank 1 uses the last message first.
Schedule overtaking() {
  return two_ranks("0F0 0F1 0F2 0BW2 0BW1 0BW0", "1F2 1F1 1F0 1BW2 1BW1 1BW0", 3);
}

TEST(Lowering, SendsInTheOrderOfUse) {
  const Program program = lower(overtaking());
  EXPECT_EQ(texts(program, 0),
            (std::vector<std::string>{"run 0F0", "run 0F1", "run 0F2", "send 0F2 to 1",
                                      "send 0F1 to 1", "send 0F0 to 1", "receive 1BW2 from 1",
                                      "run 0BW2", "release 1BW2 from 1", "receive 1BW1 from 1",
                                      "run 0BW1", "release 1BW1 from 1", "receive 1BW0 from 1",
                                      "run 0BW0", "release 1BW0 from 1"}));
  EXPECT_EQ(deadlock_of(program), "");
}

TEST(Deadlock, IsFoundWithItsCycle) {
  // In the order in which they are produced, two buffers fill up with messages used later.
  Program program = lower(overtaking());
  for (Transfer& transfer : program.transfers) {
    if (transfer.producer.rank == 0) transfer.number = 2 - transfer.number;
  }
  std::sort(program.transfers.begin(), program.transfers.end(),
            [](const Transfer& a, const Transfer& b) {
              return std::pair(a.channel, a.number) < std::pair(b.channel, b.number);
            });
  EXPECT_EQ(deadlock_of(program),
            "1F0 on rank 1 waits for 1F1 on rank 1 waits for 1F2 on rank 1 waits for the message "
            "with 0F2 to rank 1 on rank 0 waits for 1F0");
  EXPECT_THROW(simulate(program, Costs::even(program.schedule.placement, {})), ScheduleError);
}

TEST(Deadlock, IsImpossibleForEveryKindWithOneTwoAndManySlots) {
  for (const auto& [name, schedule] : every_kind()) {
    for (const int slots : {1, 2, 5}) {
      EXPECT_EQ(deadlock_of(lower(schedule, slots)), "") << name << ", " << slots << " slots";
    }
  }
}

// The property the whole library stands on: any table that can run has a program that cannot hang.
TEST(Deadlock, IsImpossibleForRandomTables) {
  std::mt19937 dice(20);
  for (int i = 0; i < 400; ++i) {
    const Schedule schedule = random_schedule(dice);
    ASSERT_TRUE(problems_of(schedule).empty());
    const Program program = lower(schedule, between(1, 3, dice));
    EXPECT_EQ(deadlock_of(program), "") << schedule_text(schedule);
    EXPECT_EQ(program.transfers.size(), edges_between_ranks(schedule));
    const Costs costs = random_costs(schedule.placement, dice);
    EXPECT_EQ(deadlock_of(with_one_stream(program, costs)), "") << schedule_text(schedule);
  }
}

TEST(ProgramTime, WithTwoSlotsIsTheIdealForEveryKind) {
  for (const auto& [name, schedule] : every_kind()) {
    for (const double communication : {0.0, 0.05, 0.2}) {
      const Costs costs = Costs::even(schedule.placement, {1, 1.2, 0.8, 1}, communication);
      EXPECT_NEAR(simulate(lower(schedule), costs).makespan(), simulate(schedule, costs).makespan(),
                  1e-9)
          << name << ", messages of " << communication;
    }
  }
}

// Messages that take no longer than the passes between their uses never wait for a buffer.
TEST(ProgramTime, WithTwoSlotsIsTheIdealForRandomTables) {
  std::mt19937 dice(21);
  for (int i = 0; i < 300; ++i) {
    const Schedule schedule = random_schedule(dice);
    const StageCost cost{1 + fraction(dice), 1 + fraction(dice), 1 + fraction(dice), 1};
    Costs costs{
        .stages = std::vector<StageCost>(static_cast<std::size_t>(schedule.placement.stages), cost),
        .communication = fraction(dice)};
    const Timeline ideal = simulate(schedule, costs), lowered = simulate(lower(schedule), costs);
    EXPECT_NEAR(lowered.makespan(), ideal.makespan(), 1e-9) << schedule_text(schedule);
    EXPECT_EQ(lowered.busy.size(), ideal.busy.size());
    for (std::size_t rank = 0; rank < ideal.busy.size(); ++rank) {
      EXPECT_NEAR(lowered.busy[rank], ideal.busy[rank], 1e-9);
    }
  }
}

TEST(ProgramTime, IsNeverBelowTheIdealAndOneStreamCostsMore) {
  std::mt19937 dice(22);
  bool some_wait = false;
  for (int i = 0; i < 200; ++i) {
    const Schedule schedule = random_schedule(dice);
    const Costs costs = random_costs(schedule.placement, dice);
    const double ideal = simulate(schedule, costs).makespan();
    EXPECT_GE(simulate(lower(schedule, 1), costs).makespan(), ideal - 1e-9);
    const double one_stream = simulate(with_one_stream(lower(schedule), costs), costs).makespan();
    EXPECT_GE(one_stream, ideal - 1e-9);
    some_wait = some_wait || one_stream > ideal + 1e-9;
  }
  EXPECT_TRUE(some_wait);
}

TEST(OneStream, LetsBothEndsHandleTransfersInOneOrder) {
  const Schedule schedule = interleaved({.ranks = 4, .micro_batches = 8, .virtual_stages = 2});
  const Costs costs = Costs::even(schedule.placement, {1, 1.2, 0.8, 1}, 0.05);
  const Program program = with_one_stream(lower(schedule), costs);
  ASSERT_EQ(program.transfer_order.size(), 4u);
  std::size_t handled = 0;
  for (std::size_t a = 0; a < 4; ++a) {
    const auto& order = program.transfer_order[a];
    handled += order.size();
    EXPECT_EQ(std::set<int>(order.begin(), order.end()).size(), order.size());
    for (std::size_t b = a + 1; b < 4; ++b) {
      std::vector<int> here, there;
      const auto& other = program.transfer_order[b];
      for (const int transfer : order) {
        if (std::count(other.begin(), other.end(), transfer) > 0) here.push_back(transfer);
      }
      for (const int transfer : other) {
        if (std::count(order.begin(), order.end(), transfer) > 0) there.push_back(transfer);
      }
      EXPECT_EQ(here, there) << "ranks " << a << " and " << b;
    }
  }
  EXPECT_EQ(handled, 2 * program.transfers.size());
}

}  // namespace
}  // namespace trireme::schedules
