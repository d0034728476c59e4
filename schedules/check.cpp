#include "schedules/check.h"

#include <algorithm>
#include <array>

#include "schedules/graph.h"
#include "schedules/number_text.h"

namespace trireme::schedules {
namespace {

constexpr std::size_t kMostProblems = 20;
constexpr std::int32_t kNowhere = -1;

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// Positions on its rank of every pass of one stage over one micro-batch.
using Positions = std::array<std::int32_t, 5>;  // by Pass

// Collects problems and stops counting when nobody would read on.
class Problems {
 public:
  void add(std::string text) {
    if (found_++ < kMostProblems) all_.push_back(std::move(text));
  }
  bool none() const { return found_ == 0; }
  std::vector<std::string> take() {
    if (found_ > kMostProblems) {
      all_.push_back("and " + std::to_string(found_ - kMostProblems) + " more");
    }
    return std::move(all_);
  }

 private:
  std::vector<std::string> all_;
  std::size_t found_ = 0;
};

std::string on_rank(const Action& action, std::size_t rank) {
  return to_text(action) + " on rank " + std::to_string(rank);
}

class StructureCheck {
 public:
  StructureCheck(const Schedule& schedule, Problems& problems)
      : schedule_(schedule), problems_(problems) {}

  void run() {
    if (!check_shape()) return;
    Positions nowhere;
    nowhere.fill(kNowhere);
    positions_.assign(schedule_.cells(), nowhere);
    for (std::size_t rank = 0; rank < schedule_.ranks.size(); ++rank) {
      const auto& actions = schedule_.ranks[rank];
      for (std::size_t i = 0; i < actions.size(); ++i) place(rank, i);
    }
    if (!problems_.none()) return;
    for (int stage = 0; stage < schedule_.placement.stages; ++stage) {
      for (int micro_batch = 0; micro_batch < schedule_.micro_batches; ++micro_batch) {
        check_cell(stage, micro_batch);
      }
    }
  }

 private:
  bool check_shape() {
    const Placement& placement = schedule_.placement;
    if (placement.ranks < 1 || placement.stages < 1 || schedule_.micro_batches < 1) {
      problems_.add("a schedule needs at least one rank, one stage and one micro-batch");
    } else if (schedule_.ranks.size() != index(placement.ranks)) {
      problems_.add("the placement has " + std::to_string(placement.ranks) +
                    " ranks, the table has " + std::to_string(schedule_.ranks.size()));
    } else if (schedule_.micro_batches % placement.copies() != 0) {
      problems_.add(std::to_string(schedule_.micro_batches) + " micro-batches do not divide over " +
                    std::to_string(placement.copies()) + " copies of the model");
    }
    return problems_.none();
  }

  void place(std::size_t rank, std::size_t i) {
    const Action& action = schedule_.ranks[rank][i];
    if (action.stage < 0 || action.stage >= schedule_.placement.stages || action.micro_batch < 0 ||
        action.micro_batch >= schedule_.micro_batches) {
      problems_.add(on_rank(action, rank) + ": stages go from 0 to " +
                    std::to_string(schedule_.placement.stages - 1) + ", micro-batches from 0 to " +
                    std::to_string(schedule_.micro_batches - 1));
      return;
    }
    const int home = schedule_.rank_of(action.stage, action.micro_batch);
    if (index(home) != rank) {
      problems_.add(on_rank(action, rank) + ": the placement puts stage " +
                    std::to_string(action.stage) + " on rank " + std::to_string(home));
      return;
    }
    auto& position = positions_[schedule_.cell(action.stage, action.micro_batch)]
                               [static_cast<std::size_t>(action.pass)];
    if (position != kNowhere) {
      problems_.add(on_rank(action, rank) + " is there twice, at positions " +
                    std::to_string(position) + " and " + std::to_string(i));
    }
    position = static_cast<std::int32_t>(i);
    if (action.overlaps_next) check_pair(rank, i);
  }

  void check_pair(std::size_t rank, std::size_t i) {
    const auto& actions = schedule_.ranks[rank];
    const bool has_next = i + 1 < actions.size();
    const bool fits = has_next && !actions[i + 1].overlaps_next &&
                      (actions[i].pass == Pass::forward) != (actions[i + 1].pass == Pass::forward);
    if (!fits) {
      problems_.add(on_rank(actions[i], rank) + " overlaps " +
                    (has_next ? to_text(actions[i + 1]) : "nothing") +
                    ": a pair is one forward and one backward pass");
    } else if (actions[i].stage == actions[i + 1].stage &&
               actions[i].micro_batch == actions[i + 1].micro_batch) {
      problems_.add(on_rank(actions[i], rank) + " overlaps " + to_text(actions[i + 1]) +
                    ", one of which needs the other");
    }
  }

  void check_cell(int stage, int micro_batch) {
    const Positions& at = positions_[schedule_.cell(stage, micro_batch)];
    const auto position = [&](Pass pass) { return at[static_cast<std::size_t>(pass)]; };
    const auto name = [&](Pass pass) {
      return to_text({.pass = pass, .stage = stage, .micro_batch = micro_batch});
    };
    const std::string where = " on rank " + std::to_string(schedule_.rank_of(stage, micro_batch));
    if (position(Pass::forward) == kNowhere)
      problems_.add(name(Pass::forward) + where + " is missing");
    const bool whole = position(Pass::backward) != kNowhere;
    const bool input = position(Pass::backward_input) != kNowhere;
    const bool weight = position(Pass::backward_weight) != kNowhere;
    if (whole == input || input != weight) {
      std::string has;
      if (whole) has += " BW";
      if (input) has += " B";
      if (weight) has += " W";
      problems_.add("stage " + std::to_string(stage) + where + ", micro-batch " +
                    std::to_string(micro_batch) + " has" +
                    (has.empty() ? " no backward pass" : has) +
                    ": it takes either BW or both B and W");
      return;
    }
    Pass last = Pass::forward;
    for (const Pass pass : {Pass::recompute, whole ? Pass::backward : Pass::backward_input,
                            whole ? Pass::backward : Pass::backward_weight}) {
      if (position(pass) == kNowhere || pass == last) continue;
      if (position(pass) < position(last)) {
        problems_.add(name(pass) + where + " is before " + name(last) + ", which it needs");
      }
      last = pass;
    }
  }

  const Schedule& schedule_;
  Problems& problems_;
  std::vector<Positions> positions_;  // per (stage, micro-batch)
};

// One node per action, or per overlapped pair; an edge to what needs it.
class DependencyCheck {
 public:
  explicit DependencyCheck(const Schedule& schedule) : schedule_(schedule) {
    forward_node_.resize(schedule.cells());
    gradient_node_.resize(schedule.cells());
    for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
      for (std::size_t i = 0; i < schedule.ranks[rank].size(); ++i) {
        const Action& action = schedule.ranks[rank][i];
        const bool joins = i > 0 && schedule.ranks[rank][i - 1].overlaps_next;
        if (!joins) waiting_.push_back({to_text(action), static_cast<int>(rank)});
        const std::size_t node = waiting_.size() - 1;
        const std::size_t cell = schedule.cell(action.stage, action.micro_batch);
        if (action.pass == Pass::forward) forward_node_[cell] = node;
        if (action.gives_gradient()) gradient_node_[cell] = node;
      }
    }
  }

  std::vector<WaitingAction> cycle() const {
    Graph graph(waiting_.size());
    for (std::size_t node = 1; node < waiting_.size(); ++node) {
      if (waiting_[node].rank == waiting_[node - 1].rank) graph.add_edge(node - 1, node);
    }
    for (int stage = 1; stage < schedule_.placement.stages; ++stage) {
      for (int micro_batch = 0; micro_batch < schedule_.micro_batches; ++micro_batch) {
        const std::size_t here = schedule_.cell(stage, micro_batch);
        const std::size_t before = schedule_.cell(stage - 1, micro_batch);
        graph.add_edge(forward_node_[before], forward_node_[here]);
        graph.add_edge(gradient_node_[here], gradient_node_[before]);
      }
    }
    std::vector<WaitingAction> actions;
    for (const std::size_t node : graph.find_cycle()) actions.push_back(waiting_[node]);
    return actions;
  }

 private:
  const Schedule& schedule_;
  std::vector<WaitingAction> waiting_;      // per node
  std::vector<std::size_t> forward_node_;   // per (stage, micro-batch)
  std::vector<std::size_t> gradient_node_;  // per (stage, micro-batch)
};

}  // namespace

std::string describe_cycle(const std::vector<WaitingAction>& cycle) {
  std::string text;
  for (std::size_t i = cycle.size(); i-- > 0;) {
    text += cycle[i].name + " on rank " + std::to_string(cycle[i].rank) + " waits for ";
  }
  return text + cycle.back().name;
}

std::vector<std::string> problems_of(const Schedule& schedule) {
  Problems problems;
  StructureCheck(schedule, problems).run();
  if (problems.none()) {
    const auto cycle = DependencyCheck(schedule).cycle();
    if (!cycle.empty()) {
      problems.add("ranks wait for each other for ever: " + describe_cycle(cycle));
    }
  }
  return problems.take();
}

std::vector<std::string> memory_problems(const Schedule& schedule,
                                         const std::vector<double>& limits,
                                         const MemoryModel& model) {
  const auto peaks = peak_memory(schedule, model);
  Problems problems;
  for (std::size_t rank = 0; rank < peaks.size(); ++rank) {
    if (peaks[rank] <= limits[rank] + 1e-9) continue;
    problems.add("rank " + std::to_string(rank) + " holds " + decimal_text(peaks[rank], 4) +
                 " micro-batches, its limit is " + decimal_text(limits[rank], 4));
  }
  return problems.take();
}

void check(const Schedule& schedule) {
  const auto problems = problems_of(schedule);
  if (problems.empty()) return;
  std::string text = "this is not a schedule that can run:";
  for (const std::string& problem : problems) text += "\n  " + problem;
  throw ScheduleError(text);
}

}  // namespace trireme::schedules
