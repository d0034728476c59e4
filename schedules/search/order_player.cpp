#include "schedules/search/order_player.h"

#include <algorithm>

namespace trireme::schedules::search {
namespace {

constexpr double kSame = 1e-9;

std::size_t index(int value) { return static_cast<std::size_t>(value); }

}  // namespace

bool Score::better_than(const Score& other) const {
  if (!possible()) return false;
  if (objective < other.objective - kSame) return true;
  return objective < other.objective + kSame && total < other.total - kSame;
}

OrderPlayer::OrderPlayer(const Problem& problem)
    : problem_(&problem),
      start_(index(problem.nodes())),
      end_(index(problem.nodes())),
      tail_(index(problem.nodes())),
      next_on_rank_(index(problem.nodes())) {
  played_.reserve(index(problem.nodes()));
}

double OrderPlayer::inputs_ready(Node node) const {
  const int half = node % 3, stage = problem_->stage_of(node), stride = problem_->stage_stride();
  if (half == weight_gradient) return end_[index(node - 1)];
  if (half == forward) {
    return stage == 0 ? 0 : end_[index(node - stride)] + problem_->hop_before[index(stage)];
  }
  const double own_forward = end_[index(node - 1)];
  if (stage == problem_->stages - 1) return own_forward;
  return std::max(own_forward, end_[index(node + stride)] + problem_->hop_behind[index(stage)]);
}

double OrderPlayer::longest_use(Node node) const {
  const int half = node % 3, stage = problem_->stage_of(node);
  if (half == weight_gradient) return -kNever;
  double longest = tail_[index(node + 1)];  // a forward pass's own backward pass, or its weights
  if (half == forward && stage + 1 < problem_->stages) {
    longest = std::max(
        longest, tail_[index(node + problem_->stage_stride())] + problem_->hop(stage, stage + 1));
  }
  if (half == input_gradient && stage > 0) {
    longest = std::max(
        longest, tail_[index(node - problem_->stage_stride())] + problem_->hop(stage, stage - 1));
  }
  return longest;
}

// The rank that waits for this node may go on.
void OrderPlayer::wake_user(const Order& order, Node node, int stage, int rank) {
  const int half = node % 3;
  if (half == weight_gradient) return;
  const int user_stage = half == forward ? stage + 1 : stage - 1;
  if (user_stage < 0 || user_stage >= problem_->stages) return;
  const int user_rank = problem_->rank_of[index(user_stage)];
  if (user_rank == rank) return;
  const Node user =
      half == forward ? node + problem_->stage_stride() : node - problem_->stage_stride();
  const auto& nodes = order[index(user_rank)];
  const std::size_t position = position_[index(user_rank)];
  if (position < nodes.size() && nodes[position] == user) awake_.push_back(user_rank);
}

void OrderPlayer::play_rank(const Order& order, int rank) {
  const auto& nodes = order[index(rank)];
  std::size_t& position = position_[index(rank)];
  double free = free_[index(rank)];
  for (; position < nodes.size(); ++position) {
    const Node node = nodes[position];
    const double ready = inputs_ready(node);
    if (ready == kNever) break;
    const int stage = problem_->stage_of(node);
    start_[index(node)] = std::max(ready, free);
    free = start_[index(node)] + problem_->duration[index(3 * stage + node % 3)];
    end_[index(node)] = free;
    played_.push_back(node);
    wake_user(order, node, stage, rank);
  }
  free_[index(rank)] = free;
}

Score OrderPlayer::play(const Order& order) {
  std::fill(end_.begin(), end_.end(), kNever);
  played_.clear();
  position_.assign(order.size(), 0);
  free_.assign(order.size(), 0);
  awake_.clear();
  for (int rank = problem_->ranks - 1; rank >= 0; --rank) awake_.push_back(rank);
  while (!awake_.empty()) {
    const int rank = awake_.back();
    awake_.pop_back();
    play_rank(order, rank);
  }
  if (played_.size() != index(problem_->nodes())) return {};
  Score score{.objective = 0};
  for (int rank = 0; rank < problem_->ranks; ++rank) {
    // A rank may start later than it could; it is then measured from there.
    const bool span = problem_->origin[index(rank)] > 0;
    const double origin = span ? start(order[index(rank)].front()) : 0;
    const double value = free_[index(rank)] - origin;
    score.objective = std::max(score.objective, value);
    score.total += value;
  }
  return score;
}

void OrderPlayer::measure_tails(const Order& order) {
  for (const auto& nodes : order) {
    for (std::size_t i = 0; i + 1 < nodes.size(); ++i) {
      next_on_rank_[index(nodes[i])] = nodes[i + 1];
    }
    next_on_rank_[index(nodes.back())] = -1;
  }
  for (std::size_t i = played_.size(); i-- > 0;) {
    const Node node = played_[i], next = next_on_rank_[index(node)];
    const int rank = problem_->rank_of[index(problem_->stage_of(node))];
    const double after = next < 0 ? -problem_->origin[index(rank)] : tail_[index(next)];
    tail_[index(node)] = std::max(after, longest_use(node)) + problem_->duration_of(node);
  }
}

}  // namespace trireme::schedules::search
