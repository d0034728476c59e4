#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "runtime/train/trainer.h"

namespace trireme::launch {

// "1.53 M", "25.6k": a count in three digits.
std::string short_count(double count);

// "1m18s", "3h02m", "2d05h".
std::string short_duration(double seconds);

// "0.41 GiB", "3.7 MiB".
std::string bytes_text(double bytes);

// What the numbers of a step are measured against.
struct Scale {
  std::int64_t total_steps = 0;
  std::int64_t tokens_per_step = 0;
  int ranks = 1;
  double flops_per_token = 0;      // by the convention of train.mfu_flops
  double peak_flops_per_rank = 0;  // 0: unknown
  std::int64_t memory_limit = 0;   // bytes a rank's device has
};

// A step's rates, from its record.
struct StepMetrics {
  double tokens_per_second = 0;
  double tokens_per_second_per_rank = 0;
  double flops_per_second_per_rank = 0;
  double mfu = 0;  // a fraction; 0 if the peak is unknown
};

StepMetrics metrics_of(const runtime::StepRecord& record, const Scale& scale);

// One step in one line. `eta_seconds` is until the last step.
std::string step_line(const runtime::StepRecord& record, const Scale& scale, double eta_seconds);

// One step as a line of metrics.jsonl.
std::string step_json(const runtime::StepRecord& record, const Scale& scale);

// One evaluation as a line of metrics.jsonl.
std::string evaluation_json(std::int64_t step, double loss);

// A line that is drawn over itself while a run goes on, on a terminal only and at most four times
// a second.
class ProgressLine {
 public:
  explicit ProgressLine(bool shown) : shown_(shown) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(std::int64_t step, std::int64_t steps, double eta_seconds);
  void clear();

 private:
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace trireme::launch
