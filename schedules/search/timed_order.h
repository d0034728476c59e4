#pragma once

#include <cstdint>
#include <vector>

#include "schedules/search/order_player.h"

namespace trireme::schedules::search {

// A node's move from one position of its rank to another.
struct Move {
  int rank = 0;
  std::size_t from = 0, to = 0;

  std::size_t first() const { return from < to ? from : to; }
  std::size_t last() const { return from < to ? to : from; }
  bool leads_nowhere() const { return from == to; }
  Move back() const { return {.rank = rank, .from = to, .to = from}; }
};

// An order that is changed move by move and keeps, for every node, its start and the longest way
// from there to the objective. A move costs what it changes: about a tenth of the nodes.
class TimedOrder {
 public:
  // The order has to be possible.
  TimedOrder(const Problem& problem, Order order);

  const Order& order() const { return order_; }
  const Score& score() const { return score_; }
  double start(Node node) const { return start_[static_cast<std::size_t>(node)]; }
  double end(Node node) const { return start(node) + problem_.duration_of(node); }
  double tail(Node node) const { return tail_[static_cast<std::size_t>(node)]; }
  // True if it lies on a longest path.
  bool is_critical(Node node) const;

  // True if the rank would not hold more than it may.
  bool fits(const Move& move);
  // The longest path through the moved nodes, from the times of all others as they are (Balas and
  // Vazacopoulos, 1998): nearly always right, and cheap.
  double estimate(const Move& move);
  // False, and nothing changes, if the order would contradict what its nodes need.
  bool apply(const Move& move);

  // Nodes looked at so far: a measure of time that is the same on every machine.
  double visits() const { return visits_; }

 private:
  // Turns that have to be looked at again, taken from one end.
  class Turns {
   public:
    explicit Turns(std::size_t count) : words_(count / 64 + 1) {}
    void add(std::size_t turn);
    // -1 if there is none from `from` on, or up to it.
    int take_first(std::size_t from);
    int take_last(std::size_t from);

   private:
    std::vector<std::uint64_t> words_;
  };

  int rank_of(Node node) const {
    return problem_.rank_of[static_cast<std::size_t>(problem_.stage_of(node))];
  }
  void copy_segment(const Move& move);
  void link(int rank, std::size_t first, std::size_t last);
  void set_held(int rank, std::size_t first, std::size_t last);
  bool delay_turns(const Move& move);
  bool advance_turns(const Move& move);
  void begin_marking();
  bool is_marked(Node node) const;
  void sort_out(Node node, bool marked);
  void assign_turns(std::size_t first, const std::vector<Node>& nodes);
  void update_starts(std::size_t from);
  void update_tails(std::size_t from);
  void update_score();
  double inputs_ready(Node node) const;
  double longest_use(Node node) const;
  template <typename Visit>
  void for_inputs(Node node, Visit visit) const;
  template <typename Visit>
  void for_uses(Node node, Visit visit) const;

  const Problem& problem_;
  Order order_;
  Score score_;
  std::vector<double> start_, tail_;       // per node
  std::vector<Node> before_, after_;       // per node: its neighbors on its rank; -1: none
  std::vector<std::vector<double>> held_;  // per rank and position: before that node, in chunks
  std::vector<Node> turns_;                // all nodes, each after everything it needs
  std::vector<std::size_t> turn_;          // per node: its place there
  std::vector<std::uint64_t> mark_;        // per node: the move that marked it last
  std::uint64_t marker_ = 0;
  std::vector<Node> marked_, unmarked_;
  std::vector<Node> segment_;  // see copy_segment
  std::vector<double> segment_start_;
  Turns again_;
  double visits_ = 0;
};

}  // namespace trireme::schedules::search
