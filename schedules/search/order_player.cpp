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

void Score::add_rank(const Problem& problem, int rank, double start, double end) {
  // A rank may start later than it could; it is then measured from there.
  const bool span = problem.origin[index(rank)] > 0;
  const double value = end - (span ? start : 0);
  objective = std::max(objective, value);
  total += value;
}

OrderPlayer::OrderPlayer(const Problem& problem)
    : problem_(problem), start_(index(problem.nodes())), end_(index(problem.nodes())) {
  played_.reserve(index(problem.nodes()));
}

double OrderPlayer::inputs_ready(Node node) const {
  const int half = node % 3, stage = problem_.stage_of(node), stride = problem_.stage_stride();
  if (half == weight_gradient) return end_[index(node - 1)];
  if (half == forward) {
    return stage == 0 ? 0 : end_[index(node - stride)] + problem_.hop_before[index(stage)];
  }
  const double own_forward = end_[index(node - 1)];
  if (stage == problem_.stages - 1) return own_forward;
  return std::max(own_forward, end_[index(node + stride)] + problem_.hop_behind[index(stage)]);
}

// The rank that waits for this node may go on.
void OrderPlayer::wake_user(const Order& order, Node node, int stage, int rank) {
  const int half = node % 3;
  if (half == weight_gradient) return;
  const int user_stage = half == forward ? stage + 1 : stage - 1;
  if (user_stage < 0 || user_stage >= problem_.stages) return;
  const int user_rank = problem_.rank_of[index(user_stage)];
  if (user_rank == rank) return;
  const Node user =
      half == forward ? node + problem_.stage_stride() : node - problem_.stage_stride();
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
    const int stage = problem_.stage_of(node);
    start_[index(node)] = std::max(ready, free);
    free = start_[index(node)] + problem_.duration[index(3 * stage + node % 3)];
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
  for (int rank = problem_.ranks - 1; rank >= 0; --rank) awake_.push_back(rank);
  while (!awake_.empty()) {
    const int rank = awake_.back();
    awake_.pop_back();
    play_rank(order, rank);
  }
  if (played_.size() != index(problem_.nodes())) return {};
  Score score{.objective = 0};
  for (int rank = 0; rank < problem_.ranks; ++rank) {
    score.add_rank(problem_, rank, start(order[index(rank)].front()), free_[index(rank)]);
  }
  return score;
}

}  // namespace trireme::schedules::search
