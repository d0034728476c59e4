#include "schedules/search/timed_order.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace trireme::schedules::search {
namespace {

constexpr double kSame = 1e-9;
constexpr int kWordBits = 64;

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// Moves one element of a range from one place to another.
template <typename T>
void shift(std::vector<T>& all, std::size_t from, std::size_t to) {
  const auto at = [&](std::size_t i) { return all.begin() + static_cast<std::ptrdiff_t>(i); };
  if (to < from) {
    std::rotate(at(to), at(from), at(from) + 1);
  } else {
    std::rotate(at(from), at(from) + 1, at(to) + 1);
  }
}

}  // namespace

void TimedOrder::Turns::add(std::size_t turn) {
  words_[turn / kWordBits] |= std::uint64_t{1} << turn % kWordBits;
}

int TimedOrder::Turns::take_first(std::size_t from) {
  for (std::size_t i = from / kWordBits; i < words_.size(); ++i) {
    if (words_[i] == 0) continue;
    const int bit = std::countr_zero(words_[i]);
    words_[i] &= words_[i] - 1;
    return static_cast<int>(i) * kWordBits + bit;
  }
  return -1;
}

int TimedOrder::Turns::take_last(std::size_t from) {
  for (std::size_t i = from / kWordBits + 1; i-- > 0;) {
    if (words_[i] == 0) continue;
    const int bit = kWordBits - 1 - std::countl_zero(words_[i]);
    words_[i] &= ~(std::uint64_t{1} << bit);
    return static_cast<int>(i) * kWordBits + bit;
  }
  return -1;
}

TimedOrder::TimedOrder(const Problem& problem, Order order)
    : problem_(problem),
      order_(std::move(order)),
      start_(index(problem.nodes())),
      tail_(index(problem.nodes())),
      before_(index(problem.nodes())),
      after_(index(problem.nodes())),
      held_(order_.size()),
      turn_(index(problem.nodes())),
      mark_(index(problem.nodes()), 0),
      again_(index(problem.nodes())) {
  OrderPlayer player(problem);
  score_ = player.play(order_);
  turns_ = player.played();
  for (std::size_t i = 0; i < turns_.size(); ++i) {
    turn_[index(turns_[i])] = i;
    start_[index(turns_[i])] = player.start(turns_[i]);
    again_.add(i);
  }
  for (int rank = 0; rank < problem.ranks; ++rank) {
    const std::size_t count = order_[index(rank)].size();
    link(rank, 0, count - 1);
    held_[index(rank)].assign(count, 0);
    set_held(rank, 0, count - 1);
  }
  update_tails(turns_.size() - 1);
}

// Every node that this one waits for, and the time of the message between them.
template <typename Visit>
void TimedOrder::for_inputs(Node node, Visit visit) const {
  const int half = node % 3, stage = problem_.stage_of(node);
  if (half != forward) visit(node - 1, 0.0);
  if (half == forward && stage > 0) {
    visit(node - problem_.stage_stride(), problem_.hop_before[index(stage)]);
  }
  if (half == input_gradient && stage + 1 < problem_.stages) {
    visit(node + problem_.stage_stride(), problem_.hop_behind[index(stage)]);
  }
}

// Every node that waits for this one.
template <typename Visit>
void TimedOrder::for_uses(Node node, Visit visit) const {
  const int half = node % 3, stage = problem_.stage_of(node);
  if (half != weight_gradient) visit(node + 1, 0.0);
  if (half == forward && stage + 1 < problem_.stages) {
    visit(node + problem_.stage_stride(), problem_.hop_behind[index(stage)]);
  }
  if (half == input_gradient && stage > 0) {
    visit(node - problem_.stage_stride(), problem_.hop_before[index(stage)]);
  }
}

double TimedOrder::inputs_ready(Node node) const {
  double ready = 0;
  for_inputs(node, [&](Node input, double hop) { ready = std::max(ready, end(input) + hop); });
  return ready;
}

double TimedOrder::longest_use(Node node) const {
  double longest = -kNever;
  for_uses(node, [&](Node user, double hop) { longest = std::max(longest, tail(user) + hop); });
  return longest;
}

bool TimedOrder::is_critical(Node node) const {
  return start(node) + tail(node) >= score_.objective - kSame;
}

bool TimedOrder::fits(const Move& move) {
  const double change[] = {1, problem_.weight_fraction - 1, -problem_.weight_fraction};
  const double allowed = problem_.limit[index(move.rank)];
  copy_segment(move);
  double held = held_[index(move.rank)][move.first()];
  for (const Node node : segment_) {
    held += change[node % 3];
    if (held > allowed) return false;
  }
  return true;
}

// The nodes between the places of a move, as they stand after it.
void TimedOrder::copy_segment(const Move& move) {
  const auto& nodes = order_[index(move.rank)];
  segment_.assign(nodes.begin() + static_cast<std::ptrdiff_t>(move.first()),
                  nodes.begin() + static_cast<std::ptrdiff_t>(move.last()) + 1);
  shift(segment_, move.from - move.first(), move.to - move.first());
}

double TimedOrder::estimate(const Move& move) {
  copy_segment(move);
  const auto& nodes = order_[index(move.rank)];
  segment_start_.clear();
  double free = move.first() > 0 ? end(nodes[move.first() - 1]) : 0;
  for (const Node node : segment_) {
    segment_start_.push_back(std::max(free, inputs_ready(node)));
    free = segment_start_.back() + problem_.duration_of(node);
  }
  double longest = 0;
  double after = move.last() + 1 < nodes.size() ? tail(nodes[move.last() + 1])
                                                : -problem_.origin[index(move.rank)];
  for (std::size_t i = segment_.size(); i-- > 0;) {
    after = problem_.duration_of(segment_[i]) + std::max(after, longest_use(segment_[i]));
    longest = std::max(longest, segment_start_[i] + after);
  }
  visits_ += static_cast<double>(segment_.size());
  return longest;
}

bool TimedOrder::apply(const Move& move) {
  if (!(move.from < move.to ? delay_turns(move) : advance_turns(move))) return false;
  auto& nodes = order_[index(move.rank)];
  shift(nodes, move.from, move.to);
  link(move.rank, move.first(), move.last());
  set_held(move.rank, move.first(), move.last());
  for (std::size_t i = move.first(); i <= std::min(move.last() + 1, nodes.size() - 1); ++i) {
    again_.add(turn_[index(nodes[i])]);
  }
  update_starts(turn_[index(nodes[move.first()])]);
  for (std::size_t i = move.first() > 0 ? move.first() - 1 : 0; i <= move.last(); ++i) {
    again_.add(turn_[index(nodes[i])]);
  }
  update_tails(turn_[index(nodes[move.last()])]);
  update_score();
  return true;
}

// The node moves behind others: so does, in the order of turns, everything that waits for it.
bool TimedOrder::delay_turns(const Move& move) {
  const auto& nodes = order_[index(move.rank)];
  const Node moved = nodes[move.from];
  const std::size_t first = turn_[index(moved)], last = turn_[index(nodes[move.to])];
  begin_marking();
  for (std::size_t turn = first; turn <= last; ++turn) {
    const Node node = turns_[turn];
    const bool on_rank = rank_of(node) == move.rank;
    bool late = node == moved || (!on_rank && is_marked(before_[index(node)]));
    for_inputs(node, [&](Node input, double) { late = late || is_marked(input); });
    if (late && on_rank && node != moved) return false;  // it would wait for itself
    sort_out(node, late);
  }
  unmarked_.insert(unmarked_.end(), marked_.begin(), marked_.end());
  assign_turns(first, unmarked_);
  return true;
}

// The node moves before others: so does everything that it waits for.
bool TimedOrder::advance_turns(const Move& move) {
  const auto& nodes = order_[index(move.rank)];
  const Node moved = nodes[move.from];
  const std::size_t first = turn_[index(nodes[move.to])], last = turn_[index(moved)];
  begin_marking();
  for (std::size_t turn = last + 1; turn-- > first;) {
    const Node node = turns_[turn];
    const bool on_rank = rank_of(node) == move.rank;
    bool early = node == moved || (!on_rank && is_marked(after_[index(node)]));
    for_uses(node, [&](Node user, double) { early = early || is_marked(user); });
    if (early && on_rank && node != moved) return false;
    sort_out(node, early);
  }
  unmarked_.insert(unmarked_.end(), marked_.begin(), marked_.end());
  std::reverse(unmarked_.begin(), unmarked_.end());
  assign_turns(first, unmarked_);
  return true;
}

void TimedOrder::begin_marking() {
  ++marker_;
  marked_.clear();
  unmarked_.clear();
}

bool TimedOrder::is_marked(Node node) const { return node >= 0 && mark_[index(node)] == marker_; }

void TimedOrder::sort_out(Node node, bool marked) {
  (marked ? marked_ : unmarked_).push_back(node);
  if (marked) mark_[index(node)] = marker_;
}

void TimedOrder::assign_turns(std::size_t first, const std::vector<Node>& nodes) {
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    turns_[first + i] = nodes[i];
    turn_[index(nodes[i])] = first + i;
  }
  visits_ += static_cast<double>(nodes.size());
}

void TimedOrder::link(int rank, std::size_t first, std::size_t last) {
  const auto& nodes = order_[index(rank)];
  for (std::size_t i = first; i <= std::min(last + 1, nodes.size() - 1); ++i) {
    before_[index(nodes[i])] = i > 0 ? nodes[i - 1] : -1;
  }
  for (std::size_t i = first > 0 ? first - 1 : 0; i <= last; ++i) {
    after_[index(nodes[i])] = i + 1 < nodes.size() ? nodes[i + 1] : -1;
  }
}

void TimedOrder::set_held(int rank, std::size_t first, std::size_t last) {
  const double change[] = {1, problem_.weight_fraction - 1, -problem_.weight_fraction};
  const auto& nodes = order_[index(rank)];
  auto& held = held_[index(rank)];
  for (std::size_t i = first; i < last; ++i) held[i + 1] = held[i] + change[nodes[i] % 3];
}

void TimedOrder::update_starts(std::size_t from) {
  for (int turn = again_.take_first(from); turn >= 0; turn = again_.take_first(index(turn))) {
    const Node node = turns_[index(turn)];
    const Node before = before_[index(node)];
    const double value = std::max(before < 0 ? 0 : end(before), inputs_ready(node));
    visits_ += 1;
    if (value == start(node)) continue;
    start_[index(node)] = value;
    if (after_[index(node)] >= 0) again_.add(turn_[index(after_[index(node)])]);
    for_uses(node, [&](Node user, double) { again_.add(turn_[index(user)]); });
  }
}

void TimedOrder::update_tails(std::size_t from) {
  for (int turn = again_.take_last(from); turn >= 0; turn = again_.take_last(index(turn))) {
    const Node node = turns_[index(turn)];
    const Node after = after_[index(node)];
    const double rest = after < 0 ? -problem_.origin[index(rank_of(node))] : tail(after);
    const double value = problem_.duration_of(node) + std::max(rest, longest_use(node));
    visits_ += 1;
    if (value == tail(node)) continue;
    tail_[index(node)] = value;
    if (before_[index(node)] >= 0) again_.add(turn_[index(before_[index(node)])]);
    for_inputs(node, [&](Node input, double) { again_.add(turn_[index(input)]); });
  }
}

void TimedOrder::update_score() {
  score_ = {.objective = 0};
  for (int rank = 0; rank < problem_.ranks; ++rank) {
    const auto& nodes = order_[index(rank)];
    score_.add_rank(problem_, rank, start(nodes.front()), end(nodes.back()));
  }
}

}  // namespace trireme::schedules::search
