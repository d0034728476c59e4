#pragma once

#include <optional>

#include "schedules/search/problem.h"

namespace trireme::schedules::search {

// An order for more micro-batches, from one for few: where a rank does the same for every
// `period` micro-batches, in the middle, it does so more often. Looks for that place from the
// forward pass of micro-batch `from` on; nothing if some rank has none. `more` is a multiple of
// `period`. Ranks keep what they hold; whether they can run it together, a player tells.
struct Extension {
  int period = 1;
  int from = 0;
  int more = 0;
};

std::optional<Order> extended(const Problem& few, const Order& order, const Problem& many,
                              const Extension& extension);

}  // namespace trireme::schedules::search
