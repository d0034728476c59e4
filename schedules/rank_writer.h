#pragma once

#include <map>
#include <utility>
#include <vector>

#include "schedules/schedule.h"

namespace trireme::schedules {

// Writes one rank's list of actions. Each pass of each stage takes its micro-batches in order.
class RankWriter {
 public:
  // Micro-batches of `stage` count from `first`.
  void starts_at(int stage, int first) {
    for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
      next_[{stage, pass}] = first;
    }
  }

  void forward(int stage) { append(Pass::forward, stage); }
  void backward_input(int stage) { append(Pass::backward_input, stage); }
  void backward_weight(int stage) { append(Pass::backward_weight, stage); }

  // Both halves at once.
  void backward(int stage) {
    ++next_[{stage, Pass::backward_weight}];
    append(Pass::backward_input, stage);
    actions_.back().pass = Pass::backward;
  }

  // A forward pass beside a backward pass.
  void overlapped(int forward_stage, int backward_stage) {
    forward(forward_stage);
    actions_.back().overlaps_next = true;
    backward(backward_stage);
  }

  int count(Pass pass, int stage) { return next_[{stage, pass}]; }

  std::vector<Action> take() { return std::move(actions_); }

 private:
  void append(Pass pass, int stage) {
    actions_.push_back({.pass = pass, .stage = stage, .micro_batch = next_[{stage, pass}]++});
  }

  std::map<std::pair<int, Pass>, int> next_;  // the next micro-batch
  std::vector<Action> actions_;
};

}  // namespace trireme::schedules
