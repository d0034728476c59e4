#pragma once

#include "schedules/search/order_player.h"
#include "schedules/search/policy.h"

namespace trireme::schedules::search {

// Improves an order by moving nodes of the critical path to other places on their rank (the
// neighborhood of van Laarhoven et al. 1992 for job shops, with longer moves), accepting a worse
// order now and then (simulated annealing). Returns the best order seen.
struct Improved {
  Order order;
  Score score;
};

struct Cooling {
  double budget = 0;       // work to spend, in played nodes
  double temperature = 0;  // to start from, in average durations; it falls to zero
};

Improved improve(const Problem& problem, Order order, const Cooling& cooling, Dice& dice);

}  // namespace trireme::schedules::search
