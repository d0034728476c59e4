#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "runtime/trace/span_log.h"
#include "schedules/program.h"

namespace trireme::runtime {

// Tells a SpanLog what one rank of a program does: its actions, and its messages, which both ends
// call the same. With no log it does nothing.
class ProgramSpans {
 public:
  // Borrows both.
  ProgramSpans(const schedules::Program& program, int rank, SpanLog* log);

  // `stream` carries these transfers and no others.
  void name_lane(const kernels::Stream& stream, std::span<const int> transfers);

  // All ranks begin the same runs.
  void begin_run() { ++runs_; }

  // Now on `stream`, if what comes next on it is to be recorded.
  SpanLog::Instant start(kernels::Stream& stream) const;

  // Action `position` of the rank, between two instants of `stream`.
  void action(const kernels::Stream& stream, int position, SpanLog::Instant start,
              SpanLog::Instant end);

  // This rank's end of a transfer, from `start`, if that is anything, until now.
  void message(kernels::Stream& stream, int transfer, SpanLog::Instant start);

 private:
  std::string name_of_message(int transfer) const;

  const schedules::Program& program_;
  int rank_;
  SpanLog* log_;
  std::map<int, int> received_by_;  // position of an action: the transfer that it needs
  std::int64_t runs_ = 0;
};

}  // namespace trireme::runtime
