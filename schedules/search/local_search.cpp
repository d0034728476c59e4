#include "schedules/search/local_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace trireme::schedules::search {
namespace {

constexpr double kSame = 1e-9;
constexpr double kWeightOfTotal = 0.02;  // of the ranks' own ends beside the objective

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// A node's move from one position of its rank to another.
struct Move {
  int rank = 0;
  std::size_t from = 0, to = 0;

  bool leads_nowhere() const { return from == to; }
};

class Annealing {
 public:
  Annealing(const Problem& problem, Order order, Dice& dice)
      : problem_(problem), dice_(dice), order_(std::move(order)), now_(problem), trial_(problem) {
    score_ = now_.play(order_);
    if (score_.possible()) now_.measure_tails(order_);
    best_ = {order_, score_};
  }

  Improved run(const Cooling& cooling) {
    const double average = problem_.average_duration();
    find_critical_pairs();
    while (spent_ < cooling.budget && !critical_.empty() &&
           best_.score.objective > problem_.lower_bound + kSame) {
      temperature_ = cooling.temperature * average * (1 - spent_ / cooling.budget);
      const Move move = random_move();
      spent_ += 5;
      if (!move.leads_nowhere() && !is_hopeless(move)) attempt(move);
    }
    return std::move(best_);
  }

 private:
  struct Pair {
    int rank;
    std::size_t second;  // position; the first of the pair is right before
  };

  // Neighbors on a rank, without idle time between them, that both lie on a longest path.
  void find_critical_pairs() {
    critical_.clear();
    if (!score_.possible()) return;
    const auto is_critical = [&](Node node) {
      return now_.start(node) + now_.tail(node) >= score_.objective - kSame;
    };
    for (int rank = 0; rank < problem_.ranks; ++rank) {
      const auto& nodes = order_[index(rank)];
      for (std::size_t i = 1; i < nodes.size(); ++i) {
        if (is_critical(nodes[i]) && now_.end(nodes[i - 1]) >= now_.start(nodes[i]) - kSame &&
            is_critical(nodes[i - 1])) {
          critical_.push_back({rank, i});
        }
      }
    }
    spent_ += 0.5 * problem_.nodes();
  }

  // The second node of a critical pair to an earlier place, or the first to a later one: then
  // something else comes first.
  Move random_move() {
    const auto [rank, second] = critical_[index(dice_.roll(static_cast<int>(critical_.size())))];
    const auto& nodes = order_[index(rank)];
    Move move{.rank = rank, .from = second, .to = second - 1};
    switch (dice_.roll(3)) {
      case 0: break;
      case 1: {
        const auto farthest = index(1 + dice_.roll(6));
        while (move.to > 0 && second - move.to < farthest &&
               now_.end(nodes[move.to - 1]) >= now_.start(nodes[move.to]) - kSame) {
          --move.to;
        }
        break;
      }
      case 2: {
        // Nobody waits for a weight gradient: it may go far.
        const bool weight = nodes[second - 1] % 3 == weight_gradient;
        const int reach = weight ? 1 << (1 + dice_.roll(7)) : 6;
        move = {.rank = rank,
                .from = second - 1,
                .to = std::min(nodes.size() - 1, second + index(dice_.roll(reach)))};
        break;
      }
    }
    keep_own_order(nodes, move);
    return move;
  }

  // Shortens a move that would put the passes of one micro-batch at a stage, or the micro-batches
  // of one pass at a stage, out of order. Micro-batches are all alike: in another order they would
  // be the same schedule under other numbers.
  void keep_own_order(const std::vector<Node>& nodes, Move& move) const {
    const Node node = nodes[move.from];
    const auto is_passable = [&](std::size_t i) {
      const bool same_cell = nodes[i] / 3 == node / 3;
      const bool same_pass =
          nodes[i] % 3 == node % 3 && problem_.stage_of(nodes[i]) == problem_.stage_of(node);
      return !same_cell && !same_pass;
    };
    const std::size_t wanted = move.to;
    move.to = move.from;
    while (move.to > wanted && is_passable(move.to - 1)) --move.to;
    while (move.to < wanted && is_passable(move.to + 1)) ++move.to;
  }

  // True if a swap of neighbors makes a path that is too long, whatever else happens: the bound of
  // Taillard (1994), from the old heads and tails.
  bool is_hopeless(const Move& move) const {
    const std::size_t first = std::min(move.from, move.to);
    if (std::max(move.from, move.to) != first + 1) return false;
    const auto& nodes = order_[index(move.rank)];
    const Node left = nodes[first], right = nodes[first + 1];
    const double before = first > 0 ? now_.end(nodes[first - 1]) : 0;
    const double after =
        first + 2 < nodes.size() ? now_.tail(nodes[first + 2]) : -problem_.origin[index(move.rank)];
    const double right_start = std::max(before, now_.inputs_ready(right));
    const double left_start =
        std::max(right_start + problem_.duration_of(right), now_.inputs_ready(left));
    const double left_tail = problem_.duration_of(left) + std::max(after, now_.longest_use(left));
    const double right_tail =
        problem_.duration_of(right) + std::max(left_tail, now_.longest_use(right));
    return std::max(right_start + right_tail, left_start + left_tail) >
           score_.objective + 3 * temperature_;
  }

  static void apply(std::vector<Node>& nodes, std::size_t from, std::size_t to) {
    const auto at = [&](std::size_t i) { return nodes.begin() + static_cast<std::ptrdiff_t>(i); };
    if (to < from) {
      std::rotate(at(to), at(from), at(from) + 1);
    } else {
      std::rotate(at(from), at(from) + 1, at(to) + 1);
    }
  }

  bool accepts(const Score& score) {
    const double loss = score.objective - score_.objective +
                        kWeightOfTotal * (score.total - score_.total) / problem_.ranks;
    return loss <= 0 || dice_.fraction() < std::exp(-loss / std::max(temperature_, kSame));
  }

  void attempt(const Move& move) {
    auto& nodes = order_[index(move.rank)];
    apply(nodes, move.from, move.to);
    spent_ += 0.3 * static_cast<double>(nodes.size());
    if (problem_.fits(nodes, move.rank)) {
      const Score score = trial_.play(order_);
      spent_ += problem_.nodes();
      if (score.possible() && accepts(score)) {
        score_ = score;
        std::swap(now_, trial_);
        now_.measure_tails(order_);
        spent_ += problem_.nodes();
        find_critical_pairs();
        if (score_.better_than(best_.score)) best_ = {order_, score_};
        return;
      }
    }
    apply(nodes, move.to, move.from);
  }

  const Problem& problem_;
  Dice& dice_;
  Order order_;
  OrderPlayer now_;    // has played order_
  OrderPlayer trial_;  // plays its neighbors
  Score score_;
  Improved best_;
  std::vector<Pair> critical_;
  double temperature_ = 0;
  double spent_ = 0;
};

}  // namespace

Improved improve(const Problem& problem, Order order, const Cooling& cooling, Dice& dice) {
  return Annealing(problem, std::move(order), dice).run(cooling);
}

}  // namespace trireme::schedules::search
