#pragma once

#include "schedules/search/policy.h"

namespace trireme::schedules::search {

// An order of forward and backward passes, without weight gradients, that repeats: micro-batch
// after micro-batch goes through the stages with the same delays ("Pipeline Parallelism with
// Controllable Memory", Qi et al. 2024, arXiv:2405.15362: the delays fix what ranks hold). The
// delays of each chunk are random, between none and what would fill the memory.
Order random_pattern(const Problem& problem, Dice& dice);

// One micro-batch after the other, forward and back: holds as little as any order can.
Order one_by_one(const Problem& problem);

}  // namespace trireme::schedules::search
