#include "runtime/trace/span_log.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace trireme::runtime {
namespace {

constexpr int kHostLane = 0;

double seconds_of(SpanLog::Clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

}  // namespace

SpanLog::SpanLog(StepRange steps) : steps_(steps), lanes_{"host"} {}

int SpanLog::add_lane(const std::string& name) {
  lanes_.push_back(name);
  return static_cast<int>(lanes_.size()) - 1;
}

void SpanLog::name_lane(const kernels::Stream& stream, const std::string& name) {
  lane_of_[&stream] = add_lane(name);
}

void SpanLog::begin_step(std::int64_t step, kernels::Stream& stream) {
  recording_ = steps_.contains(step);
  if (recording_ && !origin_) origin_ = stream.instant();
}

void SpanLog::end_step() { recording_ = false; }

void SpanLog::add(const kernels::Stream& stream, const std::string& lane, Span::Work work,
                  Instant start, Instant end) {
  if (!recording_) return;
  const auto known = lane_of_.find(&stream);
  const int number = known != lane_of_.end() ? known->second : (lane_of_[&stream] = add_lane(lane));
  added_.push_back({std::move(work), number, std::move(start), std::move(end)});
}

void SpanLog::add_on_host(Span::Work work, Clock::time_point start, Clock::time_point end) {
  on_host_.push_back({.work = std::move(work),
                      .lane = kHostLane,
                      .start = seconds_of(start),
                      .end = seconds_of(end)});
}

// The host wakes some time after the stream has come to an instant: the shortest of many times is
// nearest to the truth.
double SpanLog::seconds_of_origin(kernels::Stream& stream) const {
  constexpr int kTries = 25;
  double earliest = 0;
  for (int i = 0; i < kTries; ++i) {
    const Instant now = stream.instant();
    stream.synchronize();
    const double origin = seconds_of(Clock::now()) - now->seconds_since(*origin_);
    earliest = i == 0 ? origin : std::min(earliest, origin);
  }
  return earliest;
}

std::vector<Span> SpanLog::take(kernels::Stream& stream) {
  std::vector<Span> spans = std::exchange(on_host_, {});
  const std::vector<Added> added = std::exchange(added_, {});
  if (!added.empty()) {
    const double origin = seconds_of_origin(stream);
    for (const Added& one : added) {
      spans.push_back({.work = one.work,
                       .lane = one.lane,
                       .start = origin + one.start->seconds_since(*origin_),
                       .end = origin + one.end->seconds_since(*origin_)});
    }
  }
  // What holds others comes before them.
  std::ranges::stable_sort(
      spans, {}, [](const Span& span) { return std::tuple(span.lane, span.start, -span.end); });
  return spans;
}

}  // namespace trireme::runtime
