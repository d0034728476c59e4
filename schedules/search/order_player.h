#pragma once

#include <limits>
#include <vector>

#include "schedules/search/problem.h"

namespace trireme::schedules::search {

constexpr double kNever = std::numeric_limits<double>::infinity();

// How good an order is.
struct Score {
  double objective = kNever;  // infinite: the order contradicts what its nodes need
  double total = 0;           // the same, summed over ranks: tells plateaus apart

  bool possible() const { return objective < kNever; }
  bool better_than(const Score& other) const;
  // Counts a rank that starts and ends at these times.
  void add_rank(const Problem& problem, int rank, double start, double end);
};

// Times an order.
class OrderPlayer {
 public:
  explicit OrderPlayer(const Problem& problem);

  Score play(const Order& order);

  // Valid until the next play.
  double start(Node node) const { return start_[static_cast<std::size_t>(node)]; }
  double end(Node node) const { return end_[static_cast<std::size_t>(node)]; }
  // All nodes that could be played, each after everything it needs.
  const std::vector<Node>& played() const { return played_; }

 private:
  // When everything a node needs from other nodes of its micro-batch is on its rank; kNever if
  // some of it has not been played yet.
  double inputs_ready(Node node) const;
  void play_rank(const Order& order, int rank);
  void wake_user(const Order& order, Node node, int stage, int rank);

  const Problem& problem_;
  std::vector<double> start_, end_;  // per node
  std::vector<Node> played_;
  std::vector<std::size_t> position_;  // per rank
  std::vector<double> free_;           // per rank
  std::vector<int> awake_;
};

}  // namespace trireme::schedules::search
