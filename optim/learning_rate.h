#pragma once

#include <cstdint>

namespace trireme::optim {

enum class LearningRateSchedule { constant, linear, cosine, wsd };

// The learning rate as a pure function of the step, so that nothing about it needs saving.
struct LearningRate {
  LearningRateSchedule schedule = LearningRateSchedule::cosine;
  double peak = 3e-4;
  double minimum = 0;
  std::int64_t warmup_steps = 0;  // rises linearly, reaching the peak at this step
  std::int64_t total_steps = 1;   // the minimum is reached here
  double decay_fraction = 0.2;    // of total_steps: the linear decay at the end of wsd

  // Of step `step`, counting from 1.
  double at(std::int64_t step) const;
};

}  // namespace trireme::optim
