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
};

// Times an order and finds its critical path.
class OrderPlayer {
 public:
  explicit OrderPlayer(const Problem& problem);

  // Starts and ends of every node. Valid until the next play.
  Score play(const Order& order);

  // After play: the longest way from the start of each node to the objective.
  void measure_tails(const Order& order);

  double start(Node node) const { return start_[static_cast<std::size_t>(node)]; }
  double end(Node node) const { return end_[static_cast<std::size_t>(node)]; }
  double tail(Node node) const { return tail_[static_cast<std::size_t>(node)]; }

  // When everything a node needs from other nodes of its micro-batch is on its rank; kNever if
  // some of it has not been played yet.
  double inputs_ready(Node node) const;
  // The longest way to the objective through the nodes that need this one.
  double longest_use(Node node) const;

 private:
  void play_rank(const Order& order, int rank);
  void wake_user(const Order& order, Node node, int stage, int rank);

  const Problem* problem_;                  // a pointer, so that players can be swapped
  std::vector<double> start_, end_, tail_;  // per node
  std::vector<Node> played_;                // in the order of play: inputs first
  std::vector<Node> next_on_rank_;          // per node; -1: none
  std::vector<std::size_t> position_;       // per rank
  std::vector<double> free_;                // per rank
  std::vector<int> awake_;
};

}  // namespace trireme::schedules::search
