#include "schedules/search/extend.h"

#include <algorithm>

namespace trireme::schedules::search {
namespace {

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// First position from which on the next `length` nodes are `period` micro-batches' worth of every
// pass of every stage of the rank.
std::optional<std::size_t> find_period(const Problem& problem, const std::vector<Node>& nodes,
                                       std::size_t first, int period, std::size_t length) {
  std::vector<int> count(index(3 * problem.stages), 0);
  const auto pass_of = [&](std::size_t i) {
    return index(3 * problem.stage_of(nodes[i]) + nodes[i] % 3);
  };
  int excess = 0;  // passes that are there too often
  for (std::size_t i = first; i < nodes.size(); ++i) {
    if (++count[pass_of(i)] > period) ++excess;
    if (i >= first + length && --count[pass_of(i - length)] >= period) --excess;
    if (i + 1 >= first + length && excess == 0) return i + 1 - length;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Order> extended(const Problem& few, const Order& order, const Problem& many,
                              const Extension& extension) {
  Order result;
  for (int rank = 0; rank < few.ranks; ++rank) {
    const auto& nodes = order[index(rank)];
    const auto& stages = few.stages_of[index(rank)];
    const std::size_t length = 3 * stages.size() * index(extension.period);
    const Node start = few.node(stages.front(), extension.from, forward);
    const auto first =
        index(static_cast<int>(std::find(nodes.begin(), nodes.end(), start) - nodes.begin()));
    const auto period = find_period(few, nodes, first, extension.period, length);
    if (!period) return std::nullopt;
    auto& longer = result.emplace_back();
    const auto append = [&](std::size_t from, std::size_t to, int shift) {
      for (std::size_t i = from; i < to; ++i) {
        longer.push_back(many.node(few.stage_of(nodes[i]), few.micro_batch_of(nodes[i]) + shift,
                                   static_cast<Half>(nodes[i] % 3)));
      }
    };
    append(0, *period + length, 0);
    for (int shift = extension.period; shift <= extension.more; shift += extension.period) {
      append(*period, *period + length, shift);
    }
    append(*period + length, nodes.size(), extension.more);
  }
  return result;
}

}  // namespace trireme::schedules::search
