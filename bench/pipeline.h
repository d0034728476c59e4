#pragma once

#include <cstdint>
#include <string>

#include "runtime/comm/communicator.h"
#include "schedules/simulate.h"

namespace trireme::bench {

// A pipeline of stages that sleep.
struct PipelineOptions {
  int micro_batches = 24;
  int virtual_stages = 0;                        // 0: the kind's own
  schedules::StageCost share{0.02, 0.02, 0.02};  // of a rank's whole share, in seconds
  std::int64_t message_bytes = std::int64_t{1} << 20;
  double memory_limit = 0;  // of searched kinds, in micro-batches; 0: none
  int slots = 2;
  bool one_stream = false;  // all messages of a rank on one stream
  int steps = 3;            // measured, after one that warms up
};

// Times are of the best step, in seconds.
struct PipelineTimes {
  std::string kind;
  int virtual_stages = 0;
  double measured = 0, simulated = 0;            // makespan
  double measured_span = 0, simulated_span = 0;  // of the rank that works longest
  double bubble = 0;                             // 1 - work / (ranks * measured)
  double span_bubble = 0;                        // 1 - work of a rank / measured span
  double period = 0;         // of steps that follow each other without waiting for all ranks
  double period_bubble = 0;  // 1 - work / period
  int messages = 0;
};

// How long a message takes, in seconds, from the end of the pass that makes it to the start of the
// pass on the next rank that waits for it: measured with one micro-batch going through all ranks.
// Collective.
double message_seconds(runtime::Communicator& world, const PipelineOptions& options);

// Runs one kind of schedule with the real executor and real messages, on a synthetic backend, all
// ranks of `world` one pipeline; simulated with messages that take `message_seconds`. Collective.
// Throws ScheduleError if there is no such schedule.
PipelineTimes run_pipeline(runtime::Communicator& world, const std::string& kind,
                           const PipelineOptions& options, double message_seconds);

}  // namespace trireme::bench
