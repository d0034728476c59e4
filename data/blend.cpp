#include "data/blend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace trireme::data {
namespace {

__extension__ using Wide = unsigned __int128;

std::uint64_t fraction(double share) {
  constexpr double kOne = 0x1p64;
  const double scaled = std::round(share * kOne);
  if (scaled >= kOne) return std::numeric_limits<std::uint64_t>::max();
  return static_cast<std::uint64_t>(scaled);
}

// How many of the first `samples` samples go left: the share, rounded to the nearest. It
// grows by at most one per sample, so a sample goes left if it makes the count grow.
std::int64_t left_count(std::int64_t samples, std::uint64_t share) {
  const Wide half = Wide{1} << 63;
  return static_cast<std::int64_t>((static_cast<Wide>(samples) * share + half) >> 64);
}

}  // namespace

Blend::Blend(std::span<const double> weights) : sources_(weights.size()) {
  if (weights.empty()) throw std::invalid_argument("a blend needs at least one source");
  for (const double weight : weights) {
    if (!(weight > 0) || !std::isfinite(weight)) {
      throw std::invalid_argument("blend weight " + std::to_string(weight) +
                                  ": expected a positive number");
    }
  }
  // Lightest first; of equals, the older first.
  using Node = std::tuple<double, std::size_t, std::int64_t>;  // weight, age, child
  std::priority_queue<Node, std::vector<Node>, std::greater<>> nodes;
  const double heaviest = std::ranges::max(weights);  // divided by, so that sums stay finite
  for (std::size_t source = 0; source < sources_; ++source) {
    nodes.emplace(weights[source] / heaviest, source, ~static_cast<std::int64_t>(source));
  }
  while (nodes.size() > 1) {
    const auto [right_weight, right_age, right] = nodes.top();
    nodes.pop();
    const auto [left_weight, left_age, left] = nodes.top();
    nodes.pop();
    const double both = left_weight + right_weight;
    nodes.emplace(both, sources_ + splits_.size(), static_cast<std::int64_t>(splits_.size()));
    splits_.push_back({.left_share = fraction(left_weight / both), .left = left, .right = right});
  }
  root_ = std::get<2>(nodes.top());
}

Place Blend::place(std::int64_t index) const {
  std::int64_t node = root_;
  while (node >= 0) {
    const Split& split = splits_[static_cast<std::size_t>(node)];
    const std::int64_t before = left_count(index, split.left_share);
    const bool goes_left = left_count(index + 1, split.left_share) > before;
    node = goes_left ? split.left : split.right;
    index = goes_left ? before : index - before;
  }
  return {.source = static_cast<std::size_t>(~node), .local = index};
}

std::vector<std::int64_t> Blend::counts(std::int64_t samples) const {
  std::vector<std::int64_t> counts(sources_);
  std::vector<std::pair<std::int64_t, std::int64_t>> open = {{root_, samples}};
  while (!open.empty()) {
    const auto [node, count] = open.back();
    open.pop_back();
    if (node < 0) {
      counts[static_cast<std::size_t>(~node)] = count;
      continue;
    }
    const Split& split = splits_[static_cast<std::size_t>(node)];
    const std::int64_t left = left_count(count, split.left_share);
    open.emplace_back(split.left, left);
    open.emplace_back(split.right, count - left);
  }
  return counts;
}

}  // namespace trireme::data
