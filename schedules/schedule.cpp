#include "schedules/schedule.h"

#include <algorithm>

namespace trireme::schedules {

const char* name_of(Pass pass) {
  switch (pass) {
    case Pass::forward: return "forward";
    case Pass::backward_input: return "backward_input";
    case Pass::backward_weight: return "backward_weight";
    case Pass::backward: return "backward";
    case Pass::recompute: return "recompute";
  }
  return "";
}

const char* letter_of(Pass pass) {
  switch (pass) {
    case Pass::forward: return "F";
    case Pass::backward_input: return "B";
    case Pass::backward_weight: return "W";
    case Pass::backward: return "BW";
    case Pass::recompute: return "R";
  }
  return "";
}

std::string to_text(const Action& action) {
  return std::to_string(action.stage) + letter_of(action.pass) + std::to_string(action.micro_batch);
}

std::string to_text(PlacementKind kind) {
  switch (kind) {
    case PlacementKind::loop: return "loop";
    case PlacementKind::v: return "v";
    case PlacementKind::bidirectional: return "bidirectional";
    case PlacementKind::custom: return "custom";
  }
  return "";
}

Placement Placement::loop(int ranks, int virtual_stages) {
  Placement placement{.kind = PlacementKind::loop,
                      .ranks = ranks,
                      .stages = ranks * virtual_stages,
                      .rank_of = std::vector<std::vector<int>>(1)};
  for (int stage = 0; stage < placement.stages; ++stage) {
    placement.rank_of[0].push_back(stage % ranks);
  }
  return placement;
}

Placement Placement::v(int ranks, int virtual_stages) {
  Placement placement = loop(ranks, virtual_stages);
  placement.kind = PlacementKind::v;
  for (int stage = 0; stage < placement.stages; ++stage) {
    const bool returns = (stage / ranks) % 2 == 1;
    if (returns) placement.rank_of[0][static_cast<std::size_t>(stage)] = ranks - 1 - stage % ranks;
  }
  return placement;
}

Placement Placement::bidirectional(int ranks) {
  Placement placement = loop(ranks, 1);
  placement.kind = PlacementKind::bidirectional;
  placement.rank_of.emplace_back(placement.rank_of[0].rbegin(), placement.rank_of[0].rend());
  return placement;
}

Placement Placement::custom(std::vector<int> rank_of_stage) {
  const int ranks =
      rank_of_stage.empty() ? 0 : *std::max_element(rank_of_stage.begin(), rank_of_stage.end()) + 1;
  if (ranks < 1) throw ScheduleError("a placement needs at least one stage on a rank from 0 on");
  for (int rank = 0; rank < ranks; ++rank) {
    if (std::find(rank_of_stage.begin(), rank_of_stage.end(), rank) == rank_of_stage.end()) {
      throw ScheduleError("the placement gives rank " + std::to_string(rank) +
                          " no stage; every rank up to the highest needs one");
    }
  }
  const int stages = static_cast<int>(rank_of_stage.size());
  return {.kind = PlacementKind::custom,
          .ranks = ranks,
          .stages = stages,
          .rank_of = {std::move(rank_of_stage)}};
}

}  // namespace trireme::schedules
