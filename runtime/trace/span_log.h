#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/stream.h"

namespace trireme::runtime {

// Training steps, from 1; none if the last is before the first.
struct StepRange {
  std::int64_t first = 1, last = 0;

  bool contains(std::int64_t step) const { return first <= step && step <= last; }
  bool operator==(const StepRange&) const = default;
};

// A piece of work of a rank, and when it was done.
struct Span {
  // What the work is called and what kind it is; the messages that leave with it and that it was
  // given, if any: both ends have the same word for a message.
  struct Work {
    std::string name, kind = {};
    std::string sent = {}, received = {};
  };

  Work work;
  int lane = 0;               // see SpanLog::lanes
  double start = 0, end = 0;  // seconds of std::chrono::steady_clock
};

// What this rank does in the steps that are recorded, by stream: for pictures. Work is added while
// it is enqueued, between two instants of its stream, and read when all of it is done. Nothing is
// kept, and nothing costs, outside these steps.
class SpanLog {
 public:
  using Clock = std::chrono::steady_clock;
  using Instant = std::shared_ptr<const kernels::Instant>;

  explicit SpanLog(StepRange steps);

  const StepRange& steps() const { return steps_; }

  // The spans of `stream` are drawn in a lane of this name. Any others have lanes too, named after
  // the first work on them.
  void name_lane(const kernels::Stream& stream, const std::string& name);

  // What is added from now on belongs to this step, until it ends. Clocks are compared by `stream`.
  void begin_step(std::int64_t step, kernels::Stream& stream);
  void end_step();
  bool records() const { return recording_; }

  // Only while it records. `lane` is what an unnamed stream is called.
  void add(const kernels::Stream& stream, const std::string& lane, Span::Work work, Instant start,
           Instant end);

  // Work of the host, one piece after the other.
  void add_on_host(Span::Work work, Clock::time_point start, Clock::time_point end);

  // All there is, by lane and start, and forgets it. Every stream has passed it. Blocks for
  // `stream`, the one the steps began with.
  std::vector<Span> take(kernels::Stream& stream);

  // Their names, by number.
  const std::vector<std::string>& lanes() const { return lanes_; }

 private:
  struct Added {
    Span::Work work;
    int lane;
    Instant start, end;
  };

  int add_lane(const std::string& name);
  double seconds_of_origin(kernels::Stream& stream) const;

  StepRange steps_;
  std::vector<std::string> lanes_;
  std::map<const kernels::Stream*, int> lane_of_;
  Instant origin_;  // that device times are counted from
  bool recording_ = false;
  std::vector<Added> added_;
  std::vector<Span> on_host_;
};

// What `run` enqueues on `stream` is a span of `log`, if that is anything.
template <class Run>
void recorded(SpanLog* log, kernels::Stream& stream, const std::string& lane, Span::Work work,
              const Run& run) {
  if (!log || !log->records()) return run();
  SpanLog::Instant start = stream.instant();
  run();
  log->add(stream, lane, std::move(work), std::move(start), stream.instant());
}

}  // namespace trireme::runtime
