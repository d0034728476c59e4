#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace trireme::schedules {

// A schedule, or a request for one, that cannot be met. The message says what was found, the rule
// and the values that would do.
struct ScheduleError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// What a rank does to a micro-batch at a stage. The backward pass has two halves (Qi et al. 2023,
// arXiv:2401.10241): the gradient of the stage's input, for which the stage before it waits, and
// the gradient of its weights, for which nobody does. `backward` is both, one after the other.
enum class Pass : std::uint8_t { forward, backward_input, backward_weight, backward, recompute };

// One pass of one stage over one micro-batch.
struct Action {
  Pass pass = Pass::forward;
  // Runs at the same time as the action after it on its rank: a forward pass and a backward pass
  // that share the device (DualPipe's F&B cell).
  bool overlaps_next = false;
  std::int32_t stage = 0;
  std::int32_t micro_batch = 0;

  bool operator==(const Action&) const = default;

  // Hands a gradient to the stage before.
  bool gives_gradient() const { return pass == Pass::backward_input || pass == Pass::backward; }

  // The last action of its stage on its micro-batch.
  bool gives_weight_gradient() const {
    return pass == Pass::backward_weight || pass == Pass::backward;
  }
};

// "forward", "backward_input", ...
const char* name_of(Pass pass);

// "F", "B", "W", "BW" or "R".
const char* letter_of(Pass pass);

// "3F12": stage 3, forward, micro-batch 12.
std::string to_text(const Action& action);

}  // namespace trireme::schedules
