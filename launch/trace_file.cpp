#include "launch/trace_file.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>

namespace trireme::launch {
namespace {

using nlohmann::ordered_json;
using runtime::Span;

// Device clocks tell the microsecond, so that neighbors may seem to overlap by one, which a viewer
// would draw as one in the other. What begins in a span and ends after it begins at its end.
void part_neighbors(std::vector<Span>& spans) {
  std::vector<const Span*> open;
  int lane = -1;
  for (Span& span : spans) {
    if (span.lane != lane) open.clear();
    lane = span.lane;
    while (!open.empty() && open.back()->end < span.end) {
      span.start = std::max(span.start, open.back()->end);
      open.pop_back();
    }
    span.end = std::max(span.end, span.start);
    open.push_back(&span);
  }
}

class TraceText {
 public:
  explicit TraceText(const TracedRank& rank) : rank_(rank) {}

  // Perfetto takes 0 for the idle process and its thread.
  void add(const char* phase, int lane, ordered_json fields) {
    ordered_json event{{"ph", phase}, {"pid", rank_.rank + 1}, {"tid", lane + 1}};
    event.update(fields);
    text_ += (text_.empty() ? "" : ",\n") + event.dump();
  }

  void add_name(const char* what, int lane, const std::string& name) {
    add("M", lane, {{"name", what}, {"args", {{"name", name}}}});
  }

  void add_place(const char* what, int lane, int place) {
    add("M", lane, {{"name", what}, {"args", {{"sort_index", place}}}});
  }

  void add_span(const Span& span) {
    const std::int64_t start = nanoseconds(span.start);
    add("X", span.lane,
        {{"name", span.work.name},
         {"cat", span.work.kind},
         {"ts", microseconds(start)},
         {"dur", microseconds(nanoseconds(span.end) - start)}});
    // An arrow belongs to the innermost span of its thread that has begun before it in the file.
    if (!span.work.sent.empty()) add_arrow("s", span.lane, start, span.work.sent);
    if (!span.work.received.empty()) add_arrow("f", span.lane, start, span.work.received);
  }

  std::string finish() const {
    const ordered_json about{{"clock_uncertainty_us", rank_.clock.uncertainty * 1e6}};
    return "{\"displayTimeUnit\":\"ms\",\"otherData\":" + about.dump() + ",\"traceEvents\":[\n" +
           text_ + "\n]}\n";
  }

 private:
  std::int64_t nanoseconds(double local) const {
    return std::llround((local + rank_.clock.offset) * 1e9);
  }
  static double microseconds(std::int64_t nanoseconds) {
    return static_cast<double>(nanoseconds) / 1e3;
  }

  void add_arrow(const char* phase, int lane, std::int64_t time, const std::string& message) {
    ordered_json arrow{{"name", "message"},
                       {"cat", "message"},
                       {"id", rank_.pipeline + ":" + message},
                       {"ts", microseconds(time)}};
    if (phase[0] == 'f') arrow["bp"] = "e";
    add(phase, lane, std::move(arrow));
  }

  const TracedRank& rank_;
  std::string text_;
};

}  // namespace

std::string trace_json(const TracedRank& rank, const std::vector<std::string>& lanes,
                       std::vector<Span> spans) {
  part_neighbors(spans);
  TraceText text(rank);
  text.add_name("process_name", 0, rank.name);
  text.add_place("process_sort_index", 0, rank.rank);
  for (int lane = 0; lane < static_cast<int>(lanes.size()); ++lane) {
    const bool is_used =
        std::ranges::any_of(spans, [&](const Span& span) { return span.lane == lane; });
    if (!is_used) continue;
    text.add_name("thread_name", lane, lanes[static_cast<std::size_t>(lane)]);
    text.add_place("thread_sort_index", lane, lane);
  }
  for (const Span& span : spans) text.add_span(span);
  return text.finish();
}

}  // namespace trireme::launch
