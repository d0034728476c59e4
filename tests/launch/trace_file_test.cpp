#include "launch/trace_file.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace trireme::launch {
namespace {

using nlohmann::json;
using runtime::Span;

const TracedRank kRank{.rank = 3,
                       .name = "rank 3 on \"node\"",
                       .pipeline = "1",
                       .clock = {.offset = -100, .uncertainty = 2e-6}};

json trace_of(const std::vector<Span>& spans) {
  return json::parse(trace_json(kRank, {"host", "compute", "unused"}, spans));
}

std::vector<json> events(const json& trace, const std::string& phase) {
  std::vector<json> found;
  for (const json& event : trace["traceEvents"]) {
    EXPECT_EQ(event["pid"], 4) << "rank 3: a viewer takes 0 for no process";
    if (event["ph"] == phase) found.push_back(event);
  }
  return found;
}

TEST(TraceFile, SaysWhenInCommonTimeToTheNanosecond) {
  const json trace = trace_of({{.work = {.name = "0F1", .kind = "forward"},
                                .lane = 1,
                                .start = 100.000001234,
                                .end = 100.000009876}});
  const auto spans = events(trace, "X");
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0]["name"], "0F1");
  EXPECT_EQ(spans[0]["cat"], "forward");
  EXPECT_EQ(spans[0]["tid"], 2);
  EXPECT_EQ(spans[0]["ts"].dump(), "1.234");
  EXPECT_EQ(spans[0]["dur"].dump(), "8.642");
  EXPECT_DOUBLE_EQ(trace["otherData"]["clock_uncertainty_us"], 2);
}

TEST(TraceFile, NamesTheRankAndTheLanesInUse) {
  const json trace = trace_of({{.work = {.name = "a"}, .lane = 1, .start = 101, .end = 102}});
  std::vector<std::string> names;
  for (const json& event : events(trace, "M")) {
    if (event["args"].contains("name")) names.push_back(event["args"]["name"]);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"rank 3 on \"node\"", "compute"}));
}

// A viewer draws what overlaps as one in the other: spans of a lane nest or follow each other.
TEST(TraceFile, PartsNeighborsThatSeemToOverlap) {
  const auto spans =
      events(trace_of({{.work = {.name = "outer"}, .start = 101, .end = 102},
                       {.work = {.name = "inner"}, .start = 101.5, .end = 102},
                       {.work = {.name = "next"}, .start = 101.999999, .end = 103},
                       {.work = {.name = "in next"}, .start = 102.5, .end = 102.75}}),
             "X");
  ASSERT_EQ(spans.size(), 4u);
  EXPECT_EQ(spans[1]["ts"], 1.5e6);
  EXPECT_EQ(spans[1]["dur"], 0.5e6);
  EXPECT_EQ(spans[2]["ts"], 2e6);
  EXPECT_EQ(spans[2]["dur"], 1e6);
  EXPECT_EQ(spans[3]["ts"], 2.5e6);
}

TEST(TraceFile, DrawsAnArrowFromAMessageToWhatNeedsIt) {
  const json trace =
      trace_of({{.work = {.name = "3B0", .received = "2.7"}, .lane = 1, .start = 105, .end = 106},
                {.work = {.name = "send", .sent = "2.8"}, .lane = 2, .start = 101, .end = 102}});
  const auto starts = events(trace, "s"), ends = events(trace, "f");
  ASSERT_EQ(starts.size(), 1u);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(starts[0]["id"], "1:2.8");
  EXPECT_EQ(starts[0]["ts"], 1e6);
  EXPECT_EQ(ends[0]["id"], "1:2.7");
  EXPECT_EQ(ends[0]["ts"], 5e6);
  EXPECT_EQ(ends[0]["bp"], "e");
  for (const char* same : {"name", "cat"}) EXPECT_EQ(starts[0][same], ends[0][same]);
}

}  // namespace
}  // namespace trireme::launch
