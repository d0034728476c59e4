#include "schedules/search/pattern.h"

#include <algorithm>

namespace trireme::schedules::search {
namespace {

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// When the passes of micro-batch 0 start, per (stage, forward or backward).
struct Block {
  std::vector<double> forward, backward;
};

// How much longer than it must a step from a stage to its neighbor takes. One value per chunk of
// `ranks` stages, or two: one for the first ranks, one for the others.
std::vector<double> random_stretches(const Problem& problem, int first_ranks, Dice& dice) {
  constexpr double kStretches[] = {1, 1, 1, 1.25, 1.5, 1.75, 2, 2, 2.5, 3, 4};
  std::vector<double> stretches;
  double near = 1, far = 1;
  for (int stage = 0; stage < problem.stages; ++stage) {
    if (stage % problem.ranks == 0) {
      near = dice.pick(kStretches);
      far = dice.pick(kStretches);
    }
    stretches.push_back(problem.rank_of[index(stage)] < first_ranks ? near : far);
  }
  return stretches;
}

Block random_block(const Problem& problem, Dice& dice) {
  const int first_ranks = dice.flip() ? problem.ranks : dice.roll(problem.ranks);
  const auto out = random_stretches(problem, first_ranks, dice);
  const auto back = random_stretches(problem, first_ranks, dice);
  const double unit = problem.average_duration();
  const auto duration = [&](int stage, Half half) {
    return problem.duration[index(3 * stage + half)];
  };
  Block block{std::vector<double>(index(problem.stages)),
              std::vector<double>(index(problem.stages))};
  double time = 0;
  for (int stage = 0; stage < problem.stages; ++stage) {
    block.forward[index(stage)] = time;
    if (stage + 1 == problem.stages) break;
    time += (duration(stage, forward) + problem.hop(stage, stage + 1)) * out[index(stage)];
    // At a turn the direction changes: a pause shifts the way back against the way out.
    if (problem.hop(stage, stage + 1) == 0) time += unit * 0.5 * dice.roll(4);
  }
  time += duration(problem.stages - 1, forward) + unit * 0.5 * dice.roll(7);
  for (int stage = problem.stages; stage-- > 0;) {
    block.backward[index(stage)] = time;
    if (stage == 0) break;
    time += (duration(stage, input_gradient) + problem.hop(stage, stage - 1)) * back[index(stage)];
    if (problem.hop(stage, stage - 1) == 0) time += unit * 0.5 * dice.roll(4);
  }
  return block;
}

// Time between micro-batches: what the busiest rank needs for one.
double period_of(const Problem& problem) {
  std::vector<double> work(index(problem.ranks), 0);
  for (int stage = 0; stage < problem.stages; ++stage) {
    for (const Half half : {forward, input_gradient, weight_gradient}) {
      work[index(problem.rank_of[index(stage)])] += problem.duration[index(3 * stage + half)];
    }
  }
  return *std::max_element(work.begin(), work.end());
}

}  // namespace

Order random_pattern(const Problem& problem, Dice& dice) {
  struct Placed {
    double time;
    Node node;
  };
  const Block block = random_block(problem, dice);
  const double period = period_of(problem);
  // One by one, or group after group with the members close behind each other.
  const bool grouped = problem.stages > problem.ranks && dice.roll(4) == 0;
  const int group = grouped ? std::min(problem.ranks, problem.micro_batches) : 1;
  const double within = period * problem.ranks / problem.stages;
  Order order;
  for (int rank = 0; rank < problem.ranks; ++rank) {
    std::vector<Placed> placed;
    for (const int stage : problem.stages_of[index(rank)]) {
      for (int i = 0; i < problem.micro_batches; ++i) {
        const double shift = i / group * group * period + i % group * within;
        placed.push_back({block.forward[index(stage)] + shift, problem.node(stage, i, forward)});
        placed.push_back(
            {block.backward[index(stage)] + shift, problem.node(stage, i, input_gradient)});
      }
    }
    std::stable_sort(placed.begin(), placed.end(),
                     [](const Placed& a, const Placed& b) { return a.time < b.time; });
    auto& nodes = order.emplace_back();
    for (const Placed& one : placed) nodes.push_back(one.node);
  }
  return order;
}

Order one_by_one(const Problem& problem) {
  Order order(index(problem.ranks));
  for (int i = 0; i < problem.micro_batches; ++i) {
    for (int stage = 0; stage < problem.stages; ++stage) {
      order[index(problem.rank_of[index(stage)])].push_back(problem.node(stage, i, forward));
    }
    for (int stage = problem.stages; stage-- > 0;) {
      auto& nodes = order[index(problem.rank_of[index(stage)])];
      nodes.push_back(problem.node(stage, i, input_gradient));
      nodes.push_back(problem.node(stage, i, weight_gradient));
    }
  }
  return order;
}

}  // namespace trireme::schedules::search
