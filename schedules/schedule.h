#pragma once

#include <string>
#include <vector>

#include "schedules/action.h"

namespace trireme::schedules {

enum class PlacementKind { loop, v, bidirectional, custom };

// Which rank holds which stage. Rank arithmetic on stage numbers is nowhere else.
struct Placement {
  PlacementKind kind = PlacementKind::custom;
  int ranks = 0;
  int stages = 0;
  // One row per copy of the model, one rank per stage. All but bidirectional have one copy.
  std::vector<std::vector<int>> rank_of;  // (copies, stages)

  // Stage s on rank s mod ranks.
  static Placement loop(int ranks, int virtual_stages);
  // Stages go from rank 0 to the last and come back, chunk after chunk; a turn needs no message.
  static Placement v(int ranks, int virtual_stages = 2);
  // Two copies of the model, stage s on rank s and on rank ranks - 1 - s; the first half of the
  // micro-batches runs on the first copy, the second half on the other (DualPipe).
  static Placement bidirectional(int ranks);
  // One rank per stage, as the caller lists them. Throws ScheduleError unless every rank of
  // [0, ranks) holds a stage.
  static Placement custom(std::vector<int> rank_of_stage);

  int copies() const { return static_cast<int>(rank_of.size()); }
  // Stages a rank runs for one micro-batch, on average.
  double chunks() const { return static_cast<double>(stages) / ranks; }
};

std::string to_text(PlacementKind kind);

// In which order each rank runs its passes: a table, and nothing else. What runs it, checks it,
// times it or draws it knows no schedule by name.
struct Schedule {
  std::string kind;  // the generator's name, for people
  Placement placement;
  int micro_batches = 0;
  std::vector<std::vector<Action>> ranks;

  // The copy of the model that a micro-batch runs on.
  int copy_of(int micro_batch) const {
    return static_cast<int>(static_cast<long long>(micro_batch) * placement.copies() /
                            micro_batches);
  }
  int rank_of(int stage, int micro_batch) const {
    return placement
        .rank_of[static_cast<std::size_t>(copy_of(micro_batch))][static_cast<std::size_t>(stage)];
  }
  // Dense index of a (stage, micro-batch) pair.
  std::size_t cell(int stage, int micro_batch) const {
    return static_cast<std::size_t>(stage) * static_cast<std::size_t>(micro_batches) +
           static_cast<std::size_t>(micro_batch);
  }
  std::size_t cells() const { return cell(placement.stages, 0); }
};

}  // namespace trireme::schedules
