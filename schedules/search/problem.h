#pragma once

#include <span>
#include <vector>

#include "schedules/schedule.h"
#include "schedules/search.h"

namespace trireme::schedules::search {

// One pass of one stage over one micro-batch, as a number: 3 * (stage * micro_batches +
// micro_batch) + half. Backward passes are in halves throughout the search.
using Node = int;

enum Half { forward = 0, input_gradient = 1, weight_gradient = 2 };

// Every rank's nodes in the order in which it runs them.
using Order = std::vector<std::vector<Node>>;

// What is searched: everything about the pipeline that the search reads, laid out for speed.
struct Problem {
  int ranks = 0;
  int stages = 0;
  int micro_batches = 0;
  double communication = 0;
  double weight_fraction = 1;
  double lower_bound = 0;
  std::vector<int> rank_of;                    // per stage
  std::vector<std::vector<int>> stages_of;     // per rank, ascending
  std::vector<double> duration;                // per (stage, half)
  std::vector<int> stage_of_node;              // divisions would dominate
  std::vector<double> limit;                   // per rank, in chunks
  std::vector<double> hop_before, hop_behind;  // per stage: message from the stage before, behind
  // Per rank: the objective is the largest of (end of its last node - origin). Under the makespan
  // the origin is 0, under the span the start of the rank's first forward pass.
  std::vector<double> origin;
  std::vector<double> arrival;  // per rank: of the first micro-batch

  Problem(const Placement& placement, int micro_batches, const Costs& costs,
          const SearchGoal& goal);

  int nodes() const { return 3 * stages * micro_batches; }
  Node node(int stage, int micro_batch, Half half) const {
    return 3 * (stage * micro_batches + micro_batch) + half;
  }
  int stage_of(Node node) const { return stage_of_node[static_cast<std::size_t>(node)]; }
  int micro_batch_of(Node node) const { return node / 3 % micro_batches; }
  double duration_of(Node node) const {
    return duration[static_cast<std::size_t>(3 * stage_of(node) + node % 3)];
  }
  double average_duration() const;
  // Distance in node numbers between a stage and the next.
  int stage_stride() const { return 3 * micro_batches; }
  double hop(int from_stage, int to_stage) const {
    return rank_of[static_cast<std::size_t>(from_stage)] ==
                   rank_of[static_cast<std::size_t>(to_stage)]
               ? 0
               : communication;
  }

  // The same pipeline under the objective that was not asked for, without a bound to stop at.
  Problem under_other_objective() const;

  // True if a rank that runs its nodes in this order never holds more than its limit.
  bool fits(std::span<const Node> nodes, int rank) const;
  bool fits(const Order& order) const;
};

Order order_of(const Problem& problem, const Schedule& schedule);
std::vector<std::vector<Action>> actions_of(const Problem& problem, const Order& order);

}  // namespace trireme::schedules::search
