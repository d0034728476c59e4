#include "schedules/search/list_scheduler.h"

#include <algorithm>
#include <cmath>

#include "schedules/search/order_player.h"

namespace trireme::schedules::search {
namespace {

constexpr double kSame = 1e-9;

std::size_t index(int value) { return static_cast<std::size_t>(value); }

}  // namespace

ListScheduler::ListScheduler(const Problem& problem) : problem_(problem) {}

void ListScheduler::reset(const Policy& policy) {
  policy_ = &policy;
  const std::size_t cells = index(problem_.stages * problem_.micro_batches);
  forward_ready_.assign(cells, kNever);
  backward_ready_.assign(cells, kNever);
  std::fill_n(forward_ready_.begin(), problem_.micro_batches, 0);
  ranks_.assign(index(problem_.ranks), {});
  order_.resize(index(problem_.ranks));
  for (int rank = 0; rank < problem_.ranks; ++rank) {
    Rank& state = ranks_[index(rank)];
    const auto& stages = problem_.stages_of[index(rank)];
    state.next_forward.assign(stages.size(), 0);
    state.next_backward.assign(stages.size(), 0);
    order_[index(rank)].clear();
    for (const int stage : stages) {
      for (const Half half : {forward, input_gradient, weight_gradient}) {
        state.remaining += problem_.micro_batches * problem_.duration[index(3 * stage + half)];
      }
    }
  }
  most_ahead_.clear();
  for (int stage = 0; stage < problem_.stages; ++stage) {
    const int extra = policy.stage_extra.empty() ? 0 : policy.stage_extra[index(stage)];
    const double ahead =
        policy.stage_ahead + policy.stage_slope * (problem_.stages - 1 - stage) + extra;
    most_ahead_.push_back(
        std::max(1, static_cast<int>(std::min(ahead + kSame, problem_.micro_batches + 1.0))));
  }
  events_ = {};
  events_.push({0, problem_.rank_of[0]});
}

const Order& ListScheduler::run(const Policy& policy, double target) {
  followed_ = nullptr;
  wanted_.clear();
  target_ = target;
  reset(policy);
  run_events();
  return order_;
}

const Order& ListScheduler::run_along(const Order& followed, const Policy& policy, double target) {
  followed_ = &followed;
  target_ = target;
  reset(policy);
  run_events();
  return order_;
}

const Order& ListScheduler::run_towards(const Order& wanted, const Policy& policy, double target) {
  followed_ = nullptr;
  wanted_.resize(index(problem_.nodes()));
  for (const auto& nodes : wanted) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      wanted_[index(nodes[i])] = static_cast<double>(i);
    }
  }
  target_ = target;
  reset(policy);
  run_events();
  return order_;
}

void ListScheduler::run_events() {
  while (!events_.empty()) {
    const auto [now, rank] = events_.top();
    events_.pop();
    if (ranks_[index(rank)].free > now + kSame) continue;  // looks again when it is free
    const Decision decision = decide(rank, now);
    if (decision.node >= 0) {
      start(rank, decision.node, now);
    } else if (decision.wait_until < kNever) {
      events_.push({decision.wait_until, rank});
    }
  }
}

bool ListScheduler::may_go_ahead(int rank, std::size_t chunk) const {
  const Rank& state = ranks_[index(rank)];
  const bool oldest = state.next_forward[chunk] == state.oldest;
  if (policy_->limit_per_stage) {
    const int ahead = state.next_forward[chunk] - state.next_backward[chunk];
    const int stage = problem_.stages_of[index(rank)][chunk];
    return ahead < most_ahead_[index(stage)] || (oldest && ahead == 0);
  }
  const int extra = policy_->rank_extra.empty() ? 0 : policy_->rank_extra[index(rank)];
  const auto chunks = static_cast<double>(state.next_forward.size());
  const double most = policy_->ahead + extra + 1 +
                      policy_->ahead_per_hop * (problem_.ranks - 1 - rank) +
                      (chunks - 1) * std::min(policy_->group_size, problem_.micro_batches);
  return oldest || state.ahead + 1 <= most + kSame;
}

double ListScheduler::forward_key(std::size_t chunk, int micro_batch, double arrival) const {
  const auto depth = static_cast<double>(chunk);
  switch (policy_->forward_order) {
    case Policy::ForwardOrder::deepest_chunk: return -depth;
    case Policy::ForwardOrder::by_groups:
      return micro_batch / policy_->group_size * 1e6 + depth * 1e3 +
             micro_batch % policy_->group_size;
    case Policy::ForwardOrder::first_come: return arrival;
    case Policy::ForwardOrder::weighted: return micro_batch + depth * policy_->chunk_weight;
  }
  return 0;
}

double ListScheduler::backward_key(std::size_t chunk, int micro_batch, double arrival) const {
  const auto depth = static_cast<double>(chunk);
  switch (policy_->backward_order) {
    case Policy::BackwardOrder::by_groups:
      return micro_batch / policy_->group_size * 1e6 - depth * 1e3 +
             micro_batch % policy_->group_size;
    case Policy::BackwardOrder::shallowest_chunk: return depth;
    case Policy::BackwardOrder::first_come: return arrival;
    case Policy::BackwardOrder::deepest_chunk: return -depth;
  }
  return 0;
}

bool ListScheduler::has_room(const Rank& state, int rank, int micro_batch) const {
  int rest_of_oldest = 0;
  if (micro_batch != state.oldest) {
    for (const int next : state.next_forward) rest_of_oldest += next <= state.oldest ? 1 : 0;
  }
  return problem_.limit[index(rank)] - state.held >= 1 + rest_of_oldest;
}

void ListScheduler::consider_forward(int rank, std::size_t chunk, double now, Options& options) {
  const Rank& state = ranks_[index(rank)];
  const int micro_batch = state.next_forward[chunk];
  if (micro_batch == problem_.micro_batches) return;
  const bool room = has_room(state, rank, micro_batch);
  const int stage = problem_.stages_of[index(rank)][chunk];
  const double arrival = forward_ready_[index(stage * problem_.micro_batches + micro_batch)];
  const bool here = arrival <= now + kSame;
  if (here && !room) options.no_room = true;
  if (!room || !may_go_ahead(rank, chunk)) return;
  if (!here) {
    due_[chunk] = arrival;
    options.forward_due = std::min(options.forward_due, arrival);
    return;
  }
  const double key = wanted_.empty() ? forward_key(chunk, micro_batch, arrival)
                                     : wanted_[index(problem_.node(stage, micro_batch, forward))];
  if (key >= options.forward_key) return;
  options.forward_key = key;
  options.forward = static_cast<int>(chunk);
}

void ListScheduler::consider_backward(int rank, std::size_t chunk, double now, Options& options) {
  const Rank& state = ranks_[index(rank)];
  const int micro_batch = state.next_backward[chunk];
  if (micro_batch == state.next_forward[chunk]) return;
  const int stage = problem_.stages_of[index(rank)][chunk];
  const double arrival = backward_ready_[index(stage * problem_.micro_batches + micro_batch)];
  if (arrival > now + kSame) {
    options.backward_due = std::min(options.backward_due, arrival);
    return;
  }
  const double key = wanted_.empty()
                         ? backward_key(chunk, micro_batch, arrival)
                         : wanted_[index(problem_.node(stage, micro_batch, input_gradient))];
  if (key >= options.backward_key) return;
  options.backward_key = key;
  options.backward = static_cast<int>(chunk);
}

ListScheduler::Options ListScheduler::followed_option(int rank, double now) {
  Rank& state = ranks_[index(rank)];
  const auto& nodes = (*followed_)[index(rank)];
  while (state.position < nodes.size() && nodes[state.position] % 3 == weight_gradient) {
    ++state.position;
  }
  Options options{.forward_due = kNever, .backward_due = kNever};
  if (state.position == nodes.size()) return options;
  const Node next = nodes[state.position];
  const auto& stages = problem_.stages_of[index(rank)];
  const auto chunk = static_cast<int>(
      std::find(stages.begin(), stages.end(), problem_.stage_of(next)) - stages.begin());
  const bool goes_forward = next % 3 == forward;
  const double arrival = (goes_forward ? forward_ready_ : backward_ready_)[index(next / 3)];
  if (goes_forward && problem_.limit[index(rank)] - state.held < 1) {
    options.no_room = true;
  } else if (arrival > now + kSame) {
    (goes_forward ? options.forward_due : options.backward_due) = arrival;
  } else {
    (goes_forward ? options.forward : options.backward) = chunk;
  }
  return options;
}

ListScheduler::Options ListScheduler::options_of(int rank, double now) {
  Rank& state = ranks_[index(rank)];
  due_.assign(state.next_forward.size(), kNever);
  if (followed_ != nullptr) return followed_option(rank, now);
  while (state
             .oldest<problem_.micro_batches&& *
                     std::min_element(state.next_forward.begin(), state.next_forward.end())>
                 state.oldest) {
    ++state.oldest;
  }
  Options options{
      .forward_key = kNever, .backward_key = kNever, .forward_due = kNever, .backward_due = kNever};
  for (std::size_t chunk = 0; chunk < state.next_forward.size(); ++chunk) {
    consider_forward(rank, chunk, now, options);
    consider_backward(rank, chunk, now, options);
  }
  return options;
}

double ListScheduler::deeper_due(std::size_t chunk) const {
  return chunk + 1 == due_.size()
             ? kNever
             : *std::min_element(due_.begin() + static_cast<std::ptrdiff_t>(chunk) + 1, due_.end());
}

double ListScheduler::slack(int rank, double now) const {
  if (policy_->gap_rule != Policy::GapRule::deadline) return kNever;
  return target_ + problem_.origin[index(rank)] - now - ranks_[index(rank)].remaining + kSame;
}

bool ListScheduler::is_patient(const Rank& state) const {
  switch (policy_->patience) {
    case Policy::Patience::always: return true;
    case Policy::Patience::before_first_backward: return !state.had_backward;
    case Policy::Patience::after_first_backward: return state.had_backward;
  }
  return true;
}

bool ListScheduler::fills_gap(int rank, double now, double gap, double length) const {
  if (gap >= length - kSame) return true;
  switch (policy_->gap_rule) {
    case Policy::GapRule::share: return gap >= policy_->gap_share * length - kSame;
    case Policy::GapRule::deadline: return gap > slack(rank, now);
    case Policy::GapRule::idlest: {
      double idlest = 0;
      for (const Rank& other : ranks_) idlest = std::max(idlest, other.idle);
      return ranks_[index(rank)].idle + gap > idlest * policy_->idle_share + kSame;
    }
  }
  return true;
}

bool ListScheduler::prefers_forward(const Rank& state) const {
  switch (policy_->preference) {
    case Policy::Preference::forward: return true;
    case Policy::Preference::backward: return false;
    case Policy::Preference::alternate:
    case Policy::Preference::alternate_with_room: return !state.last_was_forward;
  }
  return true;
}

Node ListScheduler::node_of(int rank, int chunk, Half half) {
  Rank& state = ranks_[index(rank)];
  auto& next = half == forward ? state.next_forward : state.next_backward;
  ++state.position;
  return problem_.node(problem_.stages_of[index(rank)][index(chunk)], next[index(chunk)]++, half);
}

double ListScheduler::length(int rank, int chunk, Half half) const {
  return problem_.duration[index(3 * problem_.stages_of[index(rank)][index(chunk)] + half)];
}

// True if something is due within `longest`, and the rank has the time to wait for it.
bool ListScheduler::waits(int rank, double now, double due, double longest) const {
  return due <= now + longest - kSame && due - now <= slack(rank, now);
}

ListScheduler::Decision ListScheduler::decide_backward(int rank, double now,
                                                       const Options& options) {
  const Rank& state = ranks_[index(rank)];
  if (!state.last_was_forward) {
    const double own = length(rank, options.backward, input_gradient);
    if (waits(rank, now, options.forward_due, policy_->wait_for_forward * own)) {
      return {.wait_until = options.forward_due};
    }
    if (policy_->preference == Policy::Preference::alternate_with_room && options.no_room &&
        state.has_weights()) {
      return {state.weights[state.first_weight]};
    }
  }
  return {node_of(rank, options.backward, input_gradient)};
}

ListScheduler::Decision ListScheduler::decide_forward(int rank, double now,
                                                      const Options& options) {
  const double own = length(rank, options.forward, forward);
  if (is_patient(ranks_[index(rank)])) {
    if (waits(rank, now, options.backward_due, policy_->wait_for_backward * own)) {
      return {.wait_until = options.backward_due};
    }
    const double deeper = deeper_due(index(options.forward));
    if (waits(rank, now, deeper, policy_->wait_for_deeper * own)) return {.wait_until = deeper};
  }
  return {node_of(rank, options.forward, forward)};
}

ListScheduler::Decision ListScheduler::decide_weight(int rank, double now, const Options& options) {
  const Rank& state = ranks_[index(rank)];
  if (!state.has_weights()) return {.wait_until = kNever};  // an arrival wakes it
  const Node next = state.weights[state.first_weight];
  const double due = std::min(options.forward_due, options.backward_due);
  const bool makes_room = options.no_room && policy_->weights_make_room;
  if (makes_room || fills_gap(rank, now, due - now, problem_.duration_of(next))) return {next};
  return {.wait_until = due};
}

ListScheduler::Decision ListScheduler::decide(int rank, double now) {
  const Options options = options_of(rank, now);
  if (options.forward >= 0 && options.backward >= 0) {
    const bool goes_forward = wanted_.empty() ? prefers_forward(ranks_[index(rank)])
                                              : options.forward_key < options.backward_key;
    return {goes_forward ? node_of(rank, options.forward, forward)
                         : node_of(rank, options.backward, input_gradient)};
  }
  if (options.backward >= 0) return decide_backward(rank, now, options);
  if (options.forward >= 0) return decide_forward(rank, now, options);
  return decide_weight(rank, now, options);
}

void ListScheduler::start(int rank, Node node, double now) {
  Rank& state = ranks_[index(rank)];
  const double end = now + problem_.duration_of(node);
  if (state.started) state.idle += now - state.free;
  state.started = true;
  state.free = end;
  state.remaining -= end - now;
  order_[index(rank)].push_back(node);
  events_.push({end, rank});
  const int stage = problem_.stage_of(node), half = node % 3;
  const auto hand_over = [&](std::vector<double>& ready, int to) {
    const double arrival = end + problem_.hop(stage, to);
    ready[index(to * problem_.micro_batches + problem_.micro_batch_of(node))] = arrival;
    const int user = problem_.rank_of[index(to)];
    // A rank that is still busy then looks at its messages when it is free.
    if (ranks_[index(user)].free <= arrival) events_.push({arrival, user});
  };
  if (half == forward) {
    state.held += 1;
    ++state.ahead;
    state.last_was_forward = true;
    if (stage + 1 < problem_.stages) {
      hand_over(forward_ready_, stage + 1);
    } else {
      hand_over(backward_ready_, stage);
    }
  } else if (half == input_gradient) {
    state.held -= 1 - problem_.weight_fraction;
    --state.ahead;
    state.last_was_forward = false;
    state.had_backward = true;
    state.weights.push_back(node + 1);
    if (stage > 0) hand_over(backward_ready_, stage - 1);
  } else {
    state.held -= problem_.weight_fraction;
    ++state.first_weight;
  }
}

}  // namespace trireme::schedules::search
