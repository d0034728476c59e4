#pragma once

#include "schedules/search/order_player.h"
#include "schedules/search/policy.h"

namespace trireme::schedules::search {

// Improves an order by moving nodes of the critical path to other places on their rank (the
// neighborhood of van Laarhoven et al. 1992 for job shops, with longer moves), accepting a worse
// order now and then (simulated annealing). Returns the best order seen.
// `budget` is the work to spend, in played nodes.
struct Improved {
  Order order;
  Score score;
};

Improved improve(const Problem& problem, Order order, double budget, Dice& dice);

}  // namespace trireme::schedules::search
