#include "schedules/search/local_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "schedules/search/timed_order.h"

namespace trireme::schedules::search {
namespace {

constexpr double kSame = 1e-9;
constexpr double kWeightOfTotal = 0.06;  // of the ranks' own ends beside the objective

std::size_t index(int value) { return static_cast<std::size_t>(value); }

class Annealing {
 public:
  Annealing(const Problem& problem, Order order, Dice& dice)
      : problem_(problem),
        dice_(dice),
        now_(problem, std::move(order)),
        best_{now_.order(), now_.score()} {}

  Improved run(const Cooling& cooling) {
    const double hottest = cooling.temperature * problem_.average_duration();
    // Without a critical pair there is nothing to gain: many looks in vain end the walk.
    const int most_misses = 4 * problem_.nodes();
    for (int misses = 0; misses < most_misses && spent() < cooling.budget &&
                         best_.score.objective > problem_.lower_bound + kSame;) {
      const auto [rank, second] = random_pair();
      looks_ += 1;
      if (!is_critical(rank, second)) {
        ++misses;
        continue;
      }
      misses = 0;
      temperature_ = hottest * (1 - spent() / cooling.budget);
      attempt(random_move(rank, second));
    }
    return std::move(best_);
  }

 private:
  // Neighbors on a rank.
  struct Pair {
    int rank;
    std::size_t second;  // position; the first of the pair is right before
  };

  double spent() const { return now_.visits() + looks_; }

  Pair random_pair() {
    const int rank = dice_.roll(problem_.ranks);
    const auto count = static_cast<int>(now_.order()[index(rank)].size());
    return {rank, index(1 + dice_.roll(count - 1))};
  }

  // Without idle time between them, and both on a longest path.
  bool is_critical(int rank, std::size_t second) const {
    const auto& nodes = now_.order()[index(rank)];
    const Node left = nodes[second - 1], right = nodes[second];
    return now_.is_critical(right) && now_.is_critical(left) &&
           now_.end(left) >= now_.start(right) - kSame;
  }

  // The second node of a critical pair to an earlier place, or the first to a later one: then
  // something else comes first.
  Move random_move(int rank, std::size_t second) {
    const auto& nodes = now_.order()[index(rank)];
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

  void attempt(const Move& move) {
    looks_ += 3;
    // What the schedule may lose by this move.
    const double allowed = -temperature_ * std::log(1 - dice_.fraction());
    const Score before = now_.score();
    if (move.leads_nowhere() || now_.estimate(move) > before.objective + allowed + kSame) return;
    if (!now_.fits(move) || !now_.apply(move)) return;
    const Score after = now_.score();
    const double loss = after.objective - before.objective +
                        kWeightOfTotal * (after.total - before.total) / problem_.ranks;
    if (loss > allowed) {
      now_.apply(move.back());
    } else if (after.better_than(best_.score)) {
      best_ = {now_.order(), after};
    }
  }

  const Problem& problem_;
  Dice& dice_;
  TimedOrder now_;
  Improved best_;
  double temperature_ = 0;
  double looks_ = 0;  // at moves that were not made, in visits
};

}  // namespace

Improved improve(const Problem& problem, Order order, const Cooling& cooling, Dice& dice) {
  return Annealing(problem, std::move(order), dice).run(cooling);
}

}  // namespace trireme::schedules::search
