#pragma once

#include <cstdint>

namespace trireme::optim {

// What a gradient of norm `norm` is multiplied by so that its norm is at most `limit`; a limit of
// 0 means no clipping. Pascanu et al. 2013, https://arxiv.org/abs/1211.5063.
constexpr double clip_factor(double norm, double limit) {
  return limit > 0 && norm > limit ? limit / norm : 1.0;
}

// Keeps fp16 gradients in range: losses are multiplied by `value` and gradients divided by it. An
// overflow halves it and skips the step; `window` good steps in a row double it.
// Micikevicius et al. 2017, https://arxiv.org/abs/1710.03740.
class LossScale {
 public:
  // Fixed at 1: what bf16 and fp32 need.
  LossScale() = default;

  static LossScale dynamic(double initial, std::int64_t window) {
    LossScale scale;
    scale.value_ = initial;
    scale.window_ = window;
    return scale;
  }

  double value() const { return value_; }
  std::int64_t good_steps() const { return good_steps_; }

  // Continues where another run has stopped, if the scale is dynamic and was: `value` is not 0.
  void go_on(double value, std::int64_t good_steps) {
    if (window_ == 0 || value == 0) return;
    value_ = value;
    good_steps_ = good_steps;
  }

  void update(bool overflowed) {
    if (window_ == 0) return;
    good_steps_ = overflowed ? 0 : good_steps_ + 1;
    if (overflowed) {
      if (value_ > 1) value_ = value_ > 2 ? value_ / 2 : 1;
    } else if (good_steps_ % window_ == 0 && 2 * value_ <= kLargest) {
      value_ *= 2;
    }
  }

 private:
  static constexpr double kLargest = 16777216;  // 2^24: beyond it even the loss overflows

  double value_ = 1;
  std::int64_t window_ = 0;
  std::int64_t good_steps_ = 0;
};

}  // namespace trireme::optim
