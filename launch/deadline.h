#pragma once

#include <chrono>
#include <optional>

namespace trireme::launch {

// When a run has to have saved and ended: train.max_seconds after the program started, or the end
// of the Slurm job it runs in, whichever comes first.
class Deadline {
 public:
  // 0 seconds: no limit but the job's.
  explicit Deadline(double max_seconds);

  bool exists() const { return end_.has_value(); }
  // Seconds left; may be negative.
  double left() const;

  // Whether the run must stop after this step to have time for a save: two more steps, or three
  // saves and the end of the program, would be too late.
  bool is_due(double step_seconds, double save_seconds) const;

 private:
  using Clock = std::chrono::steady_clock;

  std::optional<Clock::time_point> end_;
};

}  // namespace trireme::launch
