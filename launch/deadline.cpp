#include "launch/deadline.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>

namespace trireme::launch {
namespace {

constexpr double kEndSeconds = 5;  // for messages, other ranks and the launcher
constexpr double kFirstSave = 10;  // as long as none has been timed

std::optional<double> seconds_of_job() {
  const char* text = std::getenv("SLURM_JOB_END_TIME");
  if (!text) return std::nullopt;
  const long long end = std::atoll(text);
  if (end <= 0) return std::nullopt;
  return static_cast<double>(end - static_cast<long long>(std::time(nullptr)));
}

}  // namespace

Deadline::Deadline(double max_seconds) {
  std::optional<double> left = seconds_of_job();
  if (max_seconds > 0) left = std::min(max_seconds, left.value_or(max_seconds));
  if (!left) return;
  end_ = Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*left));
}

double Deadline::left() const {
  return std::chrono::duration<double>(*end_ - Clock::now()).count();
}

bool Deadline::is_due(double step_seconds, double save_seconds) const {
  if (!end_) return false;
  const double save = save_seconds > 0 ? 3 * save_seconds : kFirstSave;
  return left() < 2 * step_seconds + save + kEndSeconds;
}

}  // namespace trireme::launch
