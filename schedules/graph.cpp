#include "schedules/graph.h"

#include <algorithm>

namespace trireme::schedules {

std::vector<std::size_t> Graph::topological_order() const {
  std::vector<std::uint32_t> missing(nodes(), 0);  // inputs, per node
  for (const auto& users : after_) {
    for (const std::uint32_t user : users) ++missing[user];
  }
  std::vector<std::size_t> order;
  order.reserve(nodes());
  for (std::size_t node = 0; node < nodes(); ++node) {
    if (missing[node] == 0) order.push_back(node);
  }
  for (std::size_t i = 0; i < order.size(); ++i) {  // grows as inputs are met
    for (const std::uint32_t user : after_[order[i]]) {
      if (--missing[user] == 0) order.push_back(user);
    }
  }
  return order;
}

std::vector<std::size_t> Graph::find_cycle() const {
  const auto order = topological_order();
  if (order.size() == nodes()) return {};
  std::vector<bool> ordered(nodes(), false);
  for (const std::size_t node : order) ordered[node] = true;
  // A node that is left has an input that is left: walking from input to input must come back.
  std::vector<std::size_t> input(nodes(), nodes());
  for (std::size_t node = 0; node < nodes(); ++node) {
    if (ordered[node]) continue;
    for (const std::uint32_t user : after_[node]) input[user] = node;
  }
  std::size_t node =
      static_cast<std::size_t>(std::find(ordered.begin(), ordered.end(), false) - ordered.begin());
  std::vector<std::size_t> seen_at(nodes(), nodes());
  std::vector<std::size_t> walk;
  while (seen_at[node] == nodes()) {
    seen_at[node] = walk.size();
    walk.push_back(node);
    node = input[node];
  }
  std::vector<std::size_t> cycle(walk.begin() + static_cast<std::ptrdiff_t>(seen_at[node]),
                                 walk.end());
  std::reverse(cycle.begin(), cycle.end());
  return cycle;
}

}  // namespace trireme::schedules
