#include "schedules/catalog.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "schedules/check.h"
#include "schedules/memory.h"
#include "schedules/program.h"

namespace trireme::schedules {
namespace {

Request request(const std::string& kind, int ranks, int micro_batches, int virtual_stages = 0) {
  Request request;
  request.kind = kind;
  request.shape = {ranks, micro_batches, virtual_stages, 0};
  request.cost = {1, 1.2, 0.8, 1};
  request.communication = 0.05;
  request.goal.effort = 0.02;
  return request;
}

std::string refusal_of(const Request& request) {
  try {
    make_schedule(request);
  } catch (const ScheduleError& error) {
    return error.what();
  }
  return "accepted";
}

double makespan_of(const Request& asked, const Schedule& schedule) {
  return simulate(schedule, costs_of(asked, schedule.placement)).makespan();
}

TEST(Catalog, MakesEveryKindThatItNames) {
  for (const Kind& kind : kinds()) {
    const Request asked = request(kind.name, 4, 8);
    const Schedule schedule = make_schedule(asked);
    EXPECT_EQ(schedule.kind, kind.name);
    EXPECT_TRUE(problems_of(schedule).empty()) << kind.name;
    EXPECT_EQ(schedule.placement.copies(), kind.two_copies ? 2 : 1) << kind.name;
    EXPECT_EQ(deadlock_of(lower(schedule)), "") << kind.name;
  }
}

TEST(Catalog, RefusesAnUnknownKindWithTheNamesThereAre) {
  const std::string refusal = refusal_of(request("1f1bb", 4, 8));
  EXPECT_NE(refusal.find("unknown schedule \"1f1bb\"; the kinds are gpipe, 1f1b, interleaved"),
            std::string::npos)
      << refusal;
}

TEST(Catalog, RefusesWrongShapesAllAtOnce) {
  EXPECT_EQ(refusal_of(request("zb-v", 0, 0, 3)),
            "zb-v: ranks must be at least 1, got 0; micro-batches must be at least 1, got 0; "
            "virtual stages must be 2, got 3");
  EXPECT_EQ(refusal_of(request("zb-h1", 4, 8, 2)), "zb-h1: virtual stages must be 1, got 2");
}

TEST(Catalog, RefusesAGroupSizeWhereThereAreNoGroups) {
  Request asked = request("1f1b", 4, 8);
  asked.shape.group_size = 4;
  EXPECT_EQ(refusal_of(asked), "1f1b: takes no group size, got 4");
  asked.kind = "interleaved";
  EXPECT_EQ(refusal_of(asked), "accepted");
}

TEST(Catalog, SaysTheSmallestLimitThatAKindFits) {
  Request asked = request("zb-h2", 8, 24);
  asked.goal.memory_limit = {8};
  EXPECT_EQ(refusal_of(asked),
            "zb-h2 holds 15 micro-batches on rank 0, the memory limit is 8; the smallest feasible "
            "limit for zb-h2 here is 15, and auto can do with less");
  asked.goal.memory_limit = {15};
  EXPECT_EQ(refusal_of(asked), "accepted");
}

TEST(Catalog, SaysTheSmallestLimitThatAnyScheduleNeeds) {
  for (const char* kind : {"zb-auto", "zb-v-auto", "auto"}) {
    Request asked = request(kind, 4, 8);
    asked.goal.memory_limit = {0.75};
    EXPECT_NE(refusal_of(asked).find("the smallest feasible one is 1"), std::string::npos) << kind;
    asked.goal.memory_limit = {1};
    EXPECT_EQ(refusal_of(asked), "accepted") << kind;
  }
}

TEST(Catalog, TakesOneLimitOrOnePerRank) {
  Request asked = request("auto", 4, 8, 1);
  asked.goal.memory_limit = {4, 3, 2, 1};
  const auto peaks = peak_memory(make_schedule(asked), {});
  for (std::size_t rank = 0; rank < 4; ++rank) {
    EXPECT_LE(peaks[rank], asked.goal.memory_limit[rank]) << "rank " << rank;
  }
  asked.goal.memory_limit = {4, 3};
  EXPECT_EQ(refusal_of(asked), "memory limits for 2 ranks: give one, or 4, one per rank");
}

TEST(Catalog, RefusesStageCostsForAnotherNumberOfStages) {
  Request asked = request("1f1b", 4, 8);
  asked.shape.virtual_stages = 1;
  asked.stage_costs = std::vector<StageCost>(6);
  EXPECT_EQ(refusal_of(asked), "stage costs for 6 stages: 4 ranks with 1 virtual stages have 4");
}

TEST(Catalog, TakesTheNumberOfVirtualStagesFromTheStageCosts) {
  Request asked = request("auto", 2, 4);
  asked.stage_costs = std::vector<StageCost>(6);
  EXPECT_EQ(make_schedule(asked).placement.stages, 6);
}

double value_of(const Request& asked) {
  const Schedule schedule = make_schedule(asked);
  return objective_of(simulate(schedule, costs_of(asked, schedule.placement)),
                      asked.goal.objective);
}

// What the name promises.
TEST(Auto, IsNoWorseThanAnyOtherKindThatFits) {
  for (const Objective objective : {Objective::makespan, Objective::span}) {
    for (const double limit : {2.0, 3.0, 4.0, 8.0}) {
      Request asked = request("auto", 4, 6);
      asked.goal.objective = objective;
      asked.goal.memory_limit = {limit};
      const double found = value_of(asked);
      for (const int chunks : {1, 2, 4}) {
        for (const Kind& kind : kinds()) {
          if (kind.name == "auto" || kind.two_copies) continue;
          Request other = asked;
          other.kind = kind.name;
          other.shape.virtual_stages = chunks;
          if (refusal_of(other) != "accepted") continue;
          EXPECT_LE(found, value_of(other) + 1e-9)
              << kind.name << " v=" << chunks << " limit " << limit;
        }
      }
    }
  }
}

TEST(Auto, GivesUnequalStagesAnOrderOfTheirOwn) {
  Request asked = request("auto", 4, 8, 1);
  asked.stage_costs = {{1, 1, 1, 1}, {2, 2, 1, 1}, {1, 1, 2, 1}, {1, 2, 0.5, 1}};
  asked.goal.memory_limit = {4};
  const double found = makespan_of(asked, make_schedule(asked));
  asked.kind = "zb-h1";
  EXPECT_LT(found, makespan_of(asked, make_schedule(asked)) - 1e-9);
}

TEST(Comparison, ListsEveryKindWithWhatItCostsOrWhyThereIsNone) {
  Request asked = request("", 4, 5);
  asked.goal.memory_limit = {4};
  const auto rows = compare(asked);
  ASSERT_EQ(rows.size(), kinds().size());
  for (const Comparison& row : rows) {
    if (row.kind == "dualpipe" || row.kind == "dualpipe-v") {
      EXPECT_NE(row.refusal, "") << row.kind << " needs eight micro-batches";
      continue;
    }
    EXPECT_EQ(row.refusal, "") << row.kind;
    EXPECT_EQ(row.fits, row.peak_memory <= 4 + 1e-9) << row.kind;
    EXPECT_GE(row.makespan, row.span - 1e-9) << row.kind;
  }
  EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [](const auto& row) { return !row.fits; }));
}

}  // namespace
}  // namespace trireme::schedules
