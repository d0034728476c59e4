#include <algorithm>
#include <memory>

#include "schedules/check.h"
#include "schedules/graph.h"
#include "schedules/program.h"

namespace trireme::schedules {
namespace {

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// Who waits for whom in a program: first all slots (an action or an overlapped pair), rank after
// rank, then all transfers.
class WaitGraph {
 public:
  explicit WaitGraph(const Program& program)
      : program_(program), first_slot_(program.schedule.ranks.size() + 1), slot_of_() {
    std::size_t slots = 0;
    for (std::size_t rank = 0; rank < program.schedule.ranks.size(); ++rank) {
      first_slot_[rank] = slots;
      auto& slot_of = slot_of_.emplace_back();
      bool joins = false;
      for (const Action& action : program.schedule.ranks[rank]) {
        if (!joins) {
          ++slots;
          slot_names_.push_back({to_text(action), static_cast<int>(rank)});
        }
        slot_of.push_back(slots - 1);
        joins = action.overlaps_next;
      }
    }
    first_slot_.back() = slots;
    build();
  }

  const Graph& graph() const { return *graph_; }
  std::size_t slots() const { return first_slot_.back(); }
  std::size_t slot(const ActionPlace& place) const {
    return slot_of_[index(place.rank)][index(place.position)];
  }

  WaitingAction name(std::size_t node) const {
    if (node < slots()) return slot_names_[node];
    const Transfer& transfer = program_.transfers[node - slots()];
    const Channel& channel = program_.channels[index(transfer.channel)];
    const Action& made =
        program_.schedule.ranks[index(transfer.producer.rank)][index(transfer.producer.position)];
    return {"the message with " + to_text(made) + " to rank " + std::to_string(channel.destination),
            channel.source};
  }

 private:
  void build() {
    graph_ = std::make_unique<Graph>(slots() + program_.transfers.size());
    for (std::size_t rank = 0; rank + 1 < first_slot_.size(); ++rank) {
      for (std::size_t slot = first_slot_[rank]; slot + 1 < first_slot_[rank + 1]; ++slot) {
        graph_->add_edge(slot, slot + 1);
      }
    }
    add_local_hand_overs();
    std::vector<std::vector<std::size_t>> of_channel(program_.channels.size());
    for (std::size_t i = 0; i < program_.transfers.size(); ++i) {
      const Transfer& transfer = program_.transfers[i];
      graph_->add_edge(slot(transfer.producer), slots() + i);
      graph_->add_edge(slots() + i, slot(transfer.consumer));
      auto& earlier = of_channel[index(transfer.channel)];
      if (!earlier.empty()) graph_->add_edge(slots() + earlier.back(), slots() + i);
      const auto credits = index(program_.channels[index(transfer.channel)].slots);
      if (earlier.size() >= credits) {
        const Transfer& gives_back = program_.transfers[earlier[earlier.size() - credits]];
        graph_->add_edge(slot(gives_back.consumer), slots() + i);
      }
      earlier.push_back(i);
    }
    for (const auto& order : program_.transfer_order) {
      for (std::size_t i = 1; i < order.size(); ++i) {
        graph_->add_edge(slots() + index(order[i - 1]), slots() + index(order[i]));
      }
    }
  }

  // From a stage to its neighbor on the same rank there is no message.
  void add_local_hand_overs() {
    const Schedule& schedule = program_.schedule;
    std::vector<std::size_t> forward(schedule.cells()), gradient(schedule.cells());
    for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
      for (std::size_t i = 0; i < schedule.ranks[rank].size(); ++i) {
        const Action& action = schedule.ranks[rank][i];
        const std::size_t cell = schedule.cell(action.stage, action.micro_batch);
        if (action.pass == Pass::forward) forward[cell] = slot_of_[rank][i];
        if (action.gives_gradient()) gradient[cell] = slot_of_[rank][i];
      }
    }
    for (int stage = 1; stage < schedule.placement.stages; ++stage) {
      for (int micro_batch = 0; micro_batch < schedule.micro_batches; ++micro_batch) {
        if (schedule.rank_of(stage, micro_batch) != schedule.rank_of(stage - 1, micro_batch)) {
          continue;
        }
        const std::size_t here = schedule.cell(stage, micro_batch);
        const std::size_t before = schedule.cell(stage - 1, micro_batch);
        graph_->add_edge(forward[before], forward[here]);
        graph_->add_edge(gradient[here], gradient[before]);
      }
    }
  }

  const Program& program_;
  std::vector<std::size_t> first_slot_;            // per rank, and the end
  std::vector<std::vector<std::size_t>> slot_of_;  // per rank and action
  std::vector<WaitingAction> slot_names_;
  std::unique_ptr<Graph> graph_;
};

// When every node of an acyclic program starts, and how long it takes.
struct Played {
  std::vector<double> start, duration;
};

Played play(const Program& program, const Costs& costs, const WaitGraph& waits,
            const std::vector<std::size_t>& order) {
  Played played{std::vector<double>(waits.graph().nodes(), 0),
                std::vector<double>(waits.graph().nodes(), 0)};
  const Schedule& schedule = program.schedule;
  for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    for (std::size_t i = 0; i < schedule.ranks[rank].size(); ++i) {
      const Action& action = schedule.ranks[rank][i];
      const bool pair =
          action.overlaps_next || (i > 0 && schedule.ranks[rank][i - 1].overlaps_next);
      played.duration[waits.slot({static_cast<int>(rank), static_cast<int>(i)})] +=
          costs.stages[index(action.stage)].of(action.pass) * (pair ? costs.overlap : 1);
    }
  }
  // A message can leave while the one before it is under way, unless a stream carries them all.
  const double next_transfer = program.has_one_stream() ? costs.communication : 0;
  for (const std::size_t node : order) {
    const bool transfers = node >= waits.slots();
    for (const std::uint32_t after : waits.graph().after(node)) {
      double end = played.start[node] + played.duration[node];
      if (transfers) end += after >= waits.slots() ? next_transfer : costs.communication;
      played.start[after] = std::max(played.start[after], end);
    }
  }
  return played;
}

// Throws ScheduleError if the program can hang.
std::vector<std::size_t> order_of(const Program& program, const WaitGraph& waits) {
  auto order = waits.graph().topological_order();
  if (order.size() == waits.graph().nodes()) return order;
  throw ScheduleError("the program hangs: " + deadlock_of(program));
}

}  // namespace

std::string deadlock_of(const Program& program) {
  const WaitGraph waits(program);
  std::vector<WaitingAction> cycle;
  for (const std::size_t node : waits.graph().find_cycle()) cycle.push_back(waits.name(node));
  return cycle.empty() ? "" : describe_cycle(cycle);
}

Timeline simulate(const Program& program, const Costs& costs) {
  const WaitGraph waits(program);
  const auto [start, duration] = play(program, costs, waits, order_of(program, waits));
  Timeline timeline;
  for (std::size_t rank = 0; rank < program.schedule.ranks.size(); ++rank) {
    auto& intervals = timeline.actions.emplace_back();
    double busy = 0;
    std::size_t last = waits.slots();
    for (std::size_t i = 0; i < program.schedule.ranks[rank].size(); ++i) {
      const std::size_t slot = waits.slot({static_cast<int>(rank), static_cast<int>(i)});
      intervals.push_back({start[slot], start[slot] + duration[slot]});
      if (slot != last) busy += duration[slot];
      last = slot;
    }
    timeline.busy.push_back(busy);
  }
  return timeline;
}

Program with_one_stream(Program program, const Costs& costs) {
  program.transfer_order.clear();
  const WaitGraph waits(program);
  const auto order = order_of(program, waits);
  const Played played = play(program, costs, waits, order);
  // Waits go forward in time, and at one time in topological order: an order of all transfers that
  // keeps both adds no cycle.
  std::vector<std::size_t> transfers;
  for (const std::size_t node : order) {
    if (node >= waits.slots()) transfers.push_back(node);
  }
  std::stable_sort(transfers.begin(), transfers.end(),
                   [&](std::size_t a, std::size_t b) { return played.start[a] < played.start[b]; });
  program.transfer_order.assign(program.schedule.ranks.size(), {});
  for (const std::size_t node : transfers) {
    const auto transfer = static_cast<int>(node - waits.slots());
    const Channel& channel = program.channels[index(program.transfers[index(transfer)].channel)];
    program.transfer_order[index(channel.source)].push_back(transfer);
    program.transfer_order[index(channel.destination)].push_back(transfer);
  }
  return program;
}

}  // namespace trireme::schedules
