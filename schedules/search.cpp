#include "schedules/search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "schedules/number_text.h"
#include "schedules/search/extend.h"
#include "schedules/search/list_scheduler.h"
#include "schedules/search/local_search.h"
#include "schedules/search/pattern.h"

namespace trireme::schedules {
namespace {

using search::Dice;
using search::Improved;
using search::Order;
using search::Policy;
using search::Problem;

// Work of a search of effort 1, in nodes: played, and scheduled.
constexpr double kImprovedNodes = 1.8e7;
constexpr double kScheduledNodes = 1.5e6;
constexpr int kMostTries = 10000;
constexpr int kRound = 1500;  // tries after which evolution starts from nothing again
// The starts of the local search: how hot, and whether under the objective that was asked for.
struct Start {
  double temperature;
  bool as_asked;
};
constexpr Start kStarts[] = {{0.2, true}, {0.5, true}, {0.9, false}, {0.9, true}};
constexpr std::size_t kImproved = 8;  // orders that it starts from, in turn
constexpr std::size_t kFollowed = 2;  // orders whose weight gradients get new places
constexpr double kMostRounds = 3;     // of all starts, for problems small enough
constexpr double kMostWork = 5;       // times the usual, then
constexpr double kSmallNodes = 4000;  // from here down there are more
constexpr double kShareOfFew = 0.4;   // of the effort, for an order that is then extended
constexpr std::size_t kElite = 8;     // policies that have children

// The best few different ones, best first.
template <typename T>
class Best {
 public:
  explicit Best(std::size_t count) : count_(count) {}

  void offer(T candidate) {
    if (!candidate.score.possible()) return;
    constexpr double kSame = 1e-9;
    for (T& known : all_) {
      if (std::abs(known.score.objective - candidate.score.objective) < kSame &&
          std::abs(known.score.total - candidate.score.total) < kSame) {
        known = std::move(candidate);  // the younger of two alike, so that traits can drift
        return;
      }
    }
    if (all_.size() == count_ && !candidate.score.better_than(all_.back().score)) return;
    if (all_.size() == count_) all_.pop_back();
    const auto place = std::find_if(all_.begin(), all_.end(), [&](const T& known) {
      return candidate.score.better_than(known.score);
    });
    all_.insert(place, std::move(candidate));
  }

  const std::vector<T>& all() const { return all_; }
  bool empty() const { return all_.empty(); }

 private:
  std::size_t count_;
  std::vector<T> all_;
};

struct Bred {
  Policy policy;
  search::Score score;
};

class Search {
 public:
  Search(const Problem& problem, const SearchGoal& goal)
      : problem_(problem), effort_(goal.effort), dice_(goal.seed), player_(problem) {}

  void add(const Order& order) {
    seeds_.push_back(order);
    if (problem_.fits(order)) offer(order);
  }

  Order run() {
    offer(search::one_by_one(problem_));
    evolve();
    follow();
    Improved best = found_.all().front();
    // What is good for one objective is often near what is good for the other, by another way.
    const Problem other = problem_.under_other_objective();
    const double more = std::max(1.0, kSmallNodes / problem_.nodes());
    const double rounds = std::clamp(more / 2, 1.0, kMostRounds);
    const auto starts = static_cast<std::size_t>(rounds * std::size(kStarts));
    // Where orders are short, many starts find what one long walk does not.
    const double budget =
        effort_ * kImprovedNodes * std::min(more, kMostWork) / static_cast<double>(starts);
    for (std::size_t i = 0; i < starts && best.score.objective > problem_.lower_bound; ++i) {
      const Order& start = found_.all()[i % std::min(found_.all().size(), starts / 2)].order;
      const auto [temperature, as_asked] = kStarts[i % std::size(kStarts)];
      Improved improved = search::improve(as_asked ? problem_ : other, start,
                                          {.budget = budget, .temperature = temperature}, dice_);
      if (!as_asked) improved.score = player_.play(improved.order);
      if (improved.score.better_than(best.score)) best = std::move(improved);
    }
    return std::move(best.order);
  }

 private:
  bool is_optimal() const {
    return !found_.empty() &&
           found_.all().front().score.objective <= problem_.lower_bound * (1 + 1e-12);
  }

  // What waiting may not put out of reach: a little beyond the best known, at most.
  double target_of(const Policy& policy) const {
    const double known =
        found_.empty() ? 2 * problem_.lower_bound : found_.all().front().score.objective;
    return problem_.lower_bound + 1.1 * policy.target_share * (known - problem_.lower_bound);
  }

  int tries(double share) const {
    return std::clamp(static_cast<int>(share * effort_ * kScheduledNodes / problem_.nodes()), 1,
                      kMostTries);
  }

  // Rounds of evolution, each from random policies: one alone would settle too early.
  void evolve() {
    for (int left = tries(1); left > 0 && !is_optimal();) {
      const int round = left < 2 * kRound ? left : kRound;
      evolve_once(round);
      left -= round;
    }
  }

  // A third of the policies at random, then children of the best.
  void evolve_once(int tries) {
    search::ListScheduler scheduler(problem_);
    Best<Bred> elite(kElite);
    for (int i = 0; i < tries && !is_optimal(); ++i) {
      const bool fresh = i < tries / 3 || elite.empty();
      const Policy policy = fresh ? search::random_policy(problem_, dice_)
                                  : search::mutated(chosen(elite.all()), problem_, dice_);
      const Order& order = scheduler.run(policy, target_of(policy));
      const search::Score score = player_.play(order);
      found_.offer({order, score});
      elite.offer({policy, score});
    }
  }

  const Policy& chosen(const std::vector<Bred>& parents) {
    return parents[static_cast<std::size_t>(dice_.roll(static_cast<int>(parents.size())))].policy;
  }

  // Repeating patterns, then seeds and the best orders again (also seeds that hold too much as they
  // are), each with new places for the weight gradients.
  void follow() {
    search::ListScheduler scheduler(problem_);
    for (int left = tries(0.25); left > 0; --left) {
      const Order pattern = search::random_pattern(problem_, dice_);
      follow_once(scheduler, pattern);
      const Policy policy = search::random_policy(problem_, dice_);
      const Order& candidate = scheduler.run_towards(pattern, policy, target_of(policy));
      offer(candidate);
    }
    std::vector<Order> followed = seeds_;
    for (std::size_t i = 0; i < std::min(kFollowed, found_.all().size()); ++i) {
      followed.push_back(found_.all()[i].order);
    }
    const int each = tries(0.25) / static_cast<int>(followed.size());
    for (const Order& order : followed) {
      for (int left = each; left > 0; --left) follow_once(scheduler, order);
    }
  }

  void follow_once(search::ListScheduler& scheduler, const Order& order) {
    if (is_optimal()) return;
    Policy policy = search::random_policy(problem_, dice_);
    policy.wait_for_backward = policy.wait_for_forward = policy.wait_for_deeper = 0;
    policy.weights_make_room = true;
    const Order& candidate = scheduler.run_along(order, policy, target_of(policy));
    offer(candidate);
  }

  void offer(const Order& order) { found_.offer({order, player_.play(order)}); }

  const Problem& problem_;
  double effort_;
  Dice dice_;
  search::OrderPlayer player_;
  std::vector<Order> seeds_;
  Best<Improved> found_{kImproved};
};

void refuse_infeasible(const Placement& placement, const SearchGoal& goal) {
  const auto limits = limits_of(goal, placement.ranks);
  const auto smallest = smallest_feasible_memory(placement);
  for (std::size_t rank = 0; rank < limits.size(); ++rank) {
    if (limits[rank] >= smallest[rank] - 1e-9) continue;
    throw ScheduleError("memory limit " + decimal_text(limits[rank], 4) + " on rank " +
                        std::to_string(rank) + ": the smallest feasible one is " +
                        decimal_text(smallest[rank], 4) +
                        ", what one micro-batch holds until its backward pass");
  }
}

// The best order for a few micro-batches, repeated in its middle to serve as many as are asked for:
// a search over few is thorough. Nothing if there are few, or if no place repeats.
std::vector<Order> orders_by_extension(const Placement& placement, int micro_batches,
                                       const Costs& costs, const SearchGoal& goal) {
  const bool grouped = placement.kind == PlacementKind::loop && placement.stages > placement.ranks;
  const int period = grouped ? placement.ranks : 1;
  const int few_micro_batches = 2 * placement.ranks + micro_batches % period;
  if (few_micro_batches >= micro_batches) return {};
  SearchGoal part = goal;
  part.effort = goal.effort * kShareOfFew;
  const Problem few(placement, few_micro_batches, costs, part);
  const Problem many(placement, micro_batches, costs, goal);
  const Order order = Search(few, part).run();
  search::OrderPlayer player(many);
  Best<Improved> best(1);
  for (int from = 0; from < few_micro_batches; ++from) {
    auto longer = search::extended(
        few, order, many,
        {.period = period, .from = from, .more = micro_batches - few_micro_batches});
    if (!longer || !many.fits(*longer)) continue;
    const search::Score score = player.play(*longer);
    best.offer({std::move(*longer), score});
  }
  std::vector<Order> orders;
  for (const Improved& one : best.all()) orders.push_back(one.order);
  return orders;
}

}  // namespace

double objective_of(const Timeline& timeline, Objective objective) {
  return objective == Objective::makespan ? timeline.makespan() : timeline.span();
}

double lower_bound(const Placement& placement, int micro_batches, const Costs& costs,
                   Objective objective) {
  return objective == Objective::makespan ? makespan_lower_bound(placement, micro_batches, costs)
                                          : span_lower_bound(placement, micro_batches, costs);
}

std::vector<double> limits_of(const SearchGoal& goal, int ranks) {
  const std::size_t count = goal.memory_limit.size();
  if (count == static_cast<std::size_t>(ranks)) return goal.memory_limit;
  if (count > 1) {
    throw ScheduleError("memory limits for " + std::to_string(count) + " ranks: give one, or " +
                        std::to_string(ranks) + ", one per rank");
  }
  const double everywhere =
      count == 0 ? std::numeric_limits<double>::infinity() : goal.memory_limit.front();
  return std::vector<double>(static_cast<std::size_t>(ranks), everywhere);
}

std::vector<double> smallest_feasible_memory(const Placement& placement) {
  std::vector<double> held(static_cast<std::size_t>(placement.ranks), 0);
  for (const auto& rank_of : placement.rank_of) {
    std::vector<double> copy(held.size(), 0);
    for (const int rank : rank_of) copy[static_cast<std::size_t>(rank)] += 1 / placement.chunks();
    for (std::size_t rank = 0; rank < held.size(); ++rank) {
      held[rank] = std::max(held[rank], copy[rank]);
    }
  }
  return held;
}

Schedule search_schedule(const Placement& placement, int micro_batches, const Costs& costs,
                         const SearchGoal& goal, const std::vector<Schedule>& seeds) {
  refuse_infeasible(placement, goal);
  const auto longer = orders_by_extension(placement, micro_batches, costs, goal);
  SearchGoal rest = goal;
  if (!longer.empty()) rest.effort *= 1 - kShareOfFew;
  const Problem problem(placement, micro_batches, costs, rest);
  Search found(problem, rest);
  for (const Order& order : longer) found.add(order);
  for (const Schedule& seed : seeds) found.add(order_of(problem, seed));
  return {.kind = "auto",
          .placement = placement,
          .micro_batches = micro_batches,
          .ranks = actions_of(problem, found.run())};
}

}  // namespace trireme::schedules
