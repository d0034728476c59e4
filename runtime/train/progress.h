#pragma once

#include <cstdint>

#include "optim/gradient_scale.h"

namespace trireme::runtime {

// How far a run has come: all there is to it but tensors and data.
struct Progress {
  std::int64_t step = 0;     // finished steps
  std::int64_t samples = 0;  // trained on
  std::int64_t tokens = 0;   // of these
  std::int64_t updates = 0;  // of the optimizer: steps that were not skipped
  std::int64_t skipped_steps = 0;
  std::int64_t skipped_in_a_row = 0;
  double loss_scale = 1;
  std::int64_t loss_scale_good_steps = 0;
};

}  // namespace trireme::runtime
