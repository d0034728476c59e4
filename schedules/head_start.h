#pragma once

#include <vector>

#include "schedules/program.h"

namespace trireme::schedules {

// What ranks can do of a step before they know that the parameters are right, and take back without
// asking each other: forward passes at the beginning of their lists, whose inputs other ranks make
// within theirs. The update before it can then be validated meanwhile (Qi et al. 2023,
// https://arxiv.org/abs/2401.10241, section 4).
struct HeadStart {
  std::vector<int> actions;     // of each rank: so many, the first ones
  std::vector<bool> transfers;  // sent by then, used or not
};

HeadStart head_start(const Program& program);

}  // namespace trireme::schedules
