#pragma once

#include "kernels/cuda/cuda_check.h"

namespace trireme::kernels {

// What choices between ways of doing one operation have in common.
constexpr float kWorthIt = 0.98f;  // of the best time so far: less is noise

class TimedEvent {
 public:
  TimedEvent() { check(cudaEventCreateWithFlags(&event_, cudaEventDefault)); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;
  ~TimedEvent() { cudaEventDestroy(event_); }  // nowhere to report from here

  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Milliseconds that the stream takes for what `launch` gives it, which it has done once before. The
// host waits.
template <class Launch>
float time_runs(cudaStream_t stream, const Launch& launch) {
  constexpr int kRuns = 5;
  const TimedEvent start, end;
  check(cudaEventRecord(start.get(), stream));
  for (int run = 0; run < kRuns; ++run) launch();
  check(cudaEventRecord(end.get(), stream));
  check(cudaEventSynchronize(end.get()));
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start.get(), end.get()));
  return milliseconds / kRuns;
}

}  // namespace trireme::kernels
