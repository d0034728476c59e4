#include "schedules/trace.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/schedules/drawing_examples.h"

namespace trireme::schedules {
namespace {

std::vector<nlohmann::json> events_of(const Example& e, const std::string& phase,
                                      const MemoryModel& model = {}) {
  std::vector<nlohmann::json> events;
  const auto trace = nlohmann::json::parse(perfetto_trace(e.schedule, e.timeline, model));
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == phase) events.push_back(event);
  }
  return events;
}

TEST(Trace, HasEveryActionOnceWhereTheTimelinePutsIt) {
  for (const Example& e : examples()) {
    SCOPED_TRACE(e.name);
    std::vector<std::size_t> next(e.schedule.ranks.size(), 0);
    for (const auto& event : events_of(e, "X")) {
      const std::size_t rank = event["tid"].get<std::size_t>() - 1;
      ASSERT_LT(rank, e.schedule.ranks.size());
      ASSERT_LT(next[rank], e.schedule.ranks[rank].size());
      const Action& action = e.schedule.ranks[rank][next[rank]];
      const Interval& interval = e.timeline.actions[rank][next[rank]++];
      EXPECT_EQ(event["name"], to_text(action));
      EXPECT_EQ(event["args"]["stage"], action.stage);
      EXPECT_EQ(event["args"]["micro_batch"], action.micro_batch);
      EXPECT_EQ(event["args"]["pass"], event["cat"]);
      EXPECT_NEAR(event["ts"], 1000 * interval.start, 1e-3);
      EXPECT_NEAR(event["dur"], 1000 * (interval.end - interval.start), 2e-3);
    }
    for (std::size_t rank = 0; rank < next.size(); ++rank) {
      EXPECT_EQ(next[rank], e.schedule.ranks[rank].size());
    }
  }
}

// Perfetto nests what overlaps by as little as a nanosecond.
TEST(Trace, HasNoOverlapsButThoseOfPairs) {
  const Example e = example("zb_h1", zb_h1({.ranks = 4, .micro_batches = 16}),
                            {2 / 3.0, 1 / 7.0, 1 / 9.0, 1}, 1 / 11.0);
  std::map<int, long long> ends;
  const auto nanoseconds = [](const nlohmann::json& value) {
    return std::llround(1000 * value.get<double>());
  };
  for (const auto& event : events_of(e, "X")) {
    EXPECT_GE(nanoseconds(event["ts"]), ends[event["tid"]]);
    ends[event["tid"]] = nanoseconds(event["ts"]) + nanoseconds(event["dur"]);
  }
}

TEST(Trace, NamesThePipelineAndItsRanks) {
  const Example e = example("zb_h1", zb_h1({.ranks = 3, .micro_batches = 4}));
  std::map<int, std::string> threads;
  std::string process;
  for (const auto& event : events_of(e, "M")) {
    if (event["name"] == "process_name") process = event["args"]["name"];
    if (event["name"] == "thread_name") threads[event["tid"]] = event["args"]["name"];
  }
  EXPECT_EQ(process, "zb-h1: p = 3, m = 4, v = 1");
  EXPECT_EQ(threads, (std::map<int, std::string>{{1, "rank 0"}, {2, "rank 1"}, {3, "rank 2"}}));
}

TEST(Trace, HasAnArrowForEachMessage) {
  for (const Example& e : examples()) {
    SCOPED_TRACE(e.name);
    struct End {
      int thread;
      double time;
      std::string what;
    };
    std::map<long long, End> sent;
    for (const auto& event : events_of(e, "s")) {
      const End end{event["tid"], event["ts"], event["name"]};
      EXPECT_TRUE(sent.emplace(event["id"], end).second);
    }
    const int messages = traffic(e.schedule, e.costs, e.timeline).messages;
    EXPECT_EQ(static_cast<int>(sent.size()), messages);
    int received = 0;
    for (const auto& event : events_of(e, "f")) {
      ++received;
      ASSERT_TRUE(sent.contains(event["id"]));
      const End& from = sent.at(event["id"]);
      EXPECT_EQ(from.what, event["name"]);
      EXPECT_EQ(event["bp"], "e");
      EXPECT_NE(from.thread, event["tid"]);
      EXPECT_LT(from.time, event["ts"]);
    }
    EXPECT_EQ(received, messages);
  }
}

// An arrow binds to the last action that began before it in the file.
TEST(Trace, TiesArrowsToTheActionsThatSendAndReceive) {
  const Example e = example("dual_pipe", dual_pipe({.ranks = 4, .micro_batches = 8}));
  const auto trace = nlohmann::json::parse(perfetto_trace(e.schedule, e.timeline, {}));
  std::map<long long, nlohmann::json> senders, receivers;
  nlohmann::json last;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "X") last = event;
    if (event["ph"] != "s" && event["ph"] != "f") continue;
    EXPECT_EQ(event["ts"], last["ts"]);
    (event["ph"] == "s" ? senders : receivers)[event["id"]] = last["args"];
  }
  ASSERT_FALSE(senders.empty());
  for (const auto& [id, from] : senders) {
    const int step = from["pass"] == "forward" ? 1 : -1;
    EXPECT_EQ(receivers[id]["stage"], from["stage"].get<int>() + step);
    EXPECT_EQ(receivers[id]["micro_batch"], from["micro_batch"]);
    EXPECT_EQ(receivers[id]["pass"] == "forward", step == 1);
  }
}

TEST(Trace, CountsTheMemoryOfEachRank) {
  const Example e = example("zb_h1", zb_h1({.ranks = 4, .micro_batches = 8}));
  const MemoryModel model{.weight_fraction = 0.5};
  std::map<std::string, double> peaks, last;
  for (const auto& event : events_of(e, "C", model)) {
    const std::string name = event["name"];
    peaks[name] = std::max(peaks[name], event["args"]["micro-batches"].get<double>());
    last[name] = event["args"]["micro-batches"];
  }
  const auto expected = peak_memory(e.schedule, model);
  ASSERT_EQ(peaks.size(), expected.size());
  for (std::size_t rank = 0; rank < expected.size(); ++rank) {
    const std::string name = "memory of rank " + std::to_string(rank);
    EXPECT_DOUBLE_EQ(peaks[name], expected[rank]);
    EXPECT_EQ(last[name], 0);
  }
}

}  // namespace
}  // namespace trireme::schedules
