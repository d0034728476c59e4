#include "optim/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace trireme::optim {

double LearningRate::at(std::int64_t step) const {
  const auto now = static_cast<double>(step), total = static_cast<double>(total_steps);
  const auto warmup = static_cast<double>(warmup_steps);
  if (step < warmup_steps) return peak * now / warmup;
  // From 0 at the end of the warm-up to 1 at the last step.
  const double progress = std::clamp((now - warmup) / std::max(total - warmup, 1.0), 0.0, 1.0);
  switch (schedule) {
    case LearningRateSchedule::constant: return peak;
    case LearningRateSchedule::linear: return peak + (minimum - peak) * progress;
    case LearningRateSchedule::cosine:
      return minimum + (peak - minimum) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
    case LearningRateSchedule::wsd: {
      const double decay = std::max(decay_fraction * total, 1.0);
      return peak + (minimum - peak) * std::clamp((now - (total - decay)) / decay, 0.0, 1.0);
    }
  }
  return peak;
}

}  // namespace trireme::optim
