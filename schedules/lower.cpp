#include <algorithm>
#include <map>
#include <tuple>

#include "schedules/program.h"

namespace trireme::schedules {
namespace {

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// Where the pass of a stage over a micro-batch stands, for forward passes and for those that give
// a gradient.
struct Places {
  std::vector<ActionPlace> forward, gradient;  // per (stage, micro-batch)

  explicit Places(const Schedule& schedule)
      : forward(schedule.cells()), gradient(schedule.cells()) {
    for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
      for (std::size_t i = 0; i < schedule.ranks[rank].size(); ++i) {
        const Action& action = schedule.ranks[rank][i];
        const ActionPlace place{static_cast<int>(rank), static_cast<int>(i)};
        const std::size_t cell = schedule.cell(action.stage, action.micro_batch);
        if (action.pass == Pass::forward) forward[cell] = place;
        if (action.gives_gradient()) gradient[cell] = place;
      }
    }
  }
};

// All messages, channel after channel, in the order of their use.
void add_transfers(Program& program) {
  const Schedule& schedule = program.schedule;
  const Places places(schedule);
  std::map<std::tuple<int, int, Payload>, std::vector<Transfer>> channels;
  for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    for (std::size_t i = 0; i < schedule.ranks[rank].size(); ++i) {
      const Action& action = schedule.ranks[rank][i];
      const bool forward = action.pass == Pass::forward;
      const int to = action.stage + (forward ? 1 : -1);
      if (!forward && !action.gives_gradient()) continue;
      if (to < 0 || to >= schedule.placement.stages) continue;
      const int source = static_cast<int>(rank);
      const int destination = schedule.rank_of(to, action.micro_batch);
      if (destination == source) continue;  // handed over on the rank
      const Payload payload = forward ? Payload::activation : Payload::gradient;
      const auto& users = forward ? places.forward : places.gradient;
      channels[{source, destination, payload}].push_back(
          {.stage = action.stage,
           .micro_batch = action.micro_batch,
           .producer = {source, static_cast<int>(i)},
           .consumer = users[schedule.cell(to, action.micro_batch)]});
    }
  }
  for (auto& [ends, transfers] : channels) {
    const auto [source, destination, payload] = ends;
    std::stable_sort(transfers.begin(), transfers.end(), [](const Transfer& a, const Transfer& b) {
      return a.consumer.position < b.consumer.position;
    });
    for (std::size_t i = 0; i < transfers.size(); ++i) {
      transfers[i].channel = static_cast<int>(program.channels.size());
      transfers[i].number = static_cast<int>(i);
      program.transfers.push_back(transfers[i]);
    }
    program.channels.push_back({source, destination, payload});
  }
}

// The transfers that a rank hands over after each of its actions: what the action produced, once
// everything before it on its channel has been handed over.
std::vector<std::vector<int>> hand_overs(const Program& program, int rank) {
  std::vector<std::vector<int>> after(program.schedule.ranks[index(rank)].size());
  int latest = 0;  // position of the last action that the channel has waited for
  for (std::size_t i = 0; i < program.transfers.size(); ++i) {
    const Transfer& transfer = program.transfers[i];
    if (transfer.producer.rank != rank) continue;
    latest = transfer.number == 0 ? transfer.producer.position
                                  : std::max(latest, transfer.producer.position);
    after[index(latest)].push_back(static_cast<int>(i));
  }
  return after;
}

void add_instructions(Program& program) {
  const Schedule& schedule = program.schedule;
  std::vector<std::vector<std::vector<int>>> arriving(schedule.ranks.size());
  for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    arriving[rank].resize(schedule.ranks[rank].size());
  }
  for (std::size_t i = 0; i < program.transfers.size(); ++i) {
    const ActionPlace& consumer = program.transfers[i].consumer;
    arriving[index(consumer.rank)][index(consumer.position)].push_back(static_cast<int>(i));
  }
  program.ranks.assign(schedule.ranks.size(), {});
  for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    auto& instructions = program.ranks[rank];
    const auto& actions = schedule.ranks[rank];
    const auto leaving = hand_overs(program, static_cast<int>(rank));
    const auto append = [&](Instruction::Kind kind, const std::vector<int>& transfers) {
      for (const int transfer : transfers) instructions.push_back({kind, transfer});
    };
    // What overlaps starts and ends together.
    for (std::size_t first = 0, last = 0; first < actions.size(); first = ++last) {
      while (actions[last].overlaps_next) ++last;
      const auto all = [&](Instruction::Kind kind, const auto& transfers) {
        for (std::size_t i = first; i <= last; ++i) append(kind, transfers[i]);
      };
      all(Instruction::Kind::receive, arriving[rank]);
      for (std::size_t i = first; i <= last; ++i) {
        instructions.push_back({Instruction::Kind::run, static_cast<int>(i)});
      }
      all(Instruction::Kind::release, arriving[rank]);
      all(Instruction::Kind::send, leaving);
    }
  }
}

}  // namespace

Program lower(const Schedule& schedule, int slots) {
  if (slots < 1) {
    throw ScheduleError("receive slots must be at least 1, got " + std::to_string(slots));
  }
  Program program;
  program.schedule = schedule;
  add_transfers(program);
  for (Channel& channel : program.channels) channel.slots = slots;
  add_instructions(program);
  return program;
}

std::string to_text(const Program& program, int rank, const Instruction& instruction) {
  using Kind = Instruction::Kind;
  const auto message = [&](const char* verb, const char* preposition, bool sends) {
    const Transfer& transfer = program.transfers[index(instruction.index)];
    const Channel& channel = program.channels[index(transfer.channel)];
    const int other = sends ? channel.destination : channel.source;
    return std::string(verb) + " " +
           to_text(program.schedule
                       .ranks[index(transfer.producer.rank)][index(transfer.producer.position)]) +
           " " + preposition + " " + std::to_string(other);
  };
  switch (instruction.kind) {
    case Kind::receive: return message("receive", "from", false);
    case Kind::release: return message("release", "from", false);
    case Kind::send: return message("send", "to", true);
    case Kind::run:
      return "run " + to_text(program.schedule.ranks[index(rank)][index(instruction.index)]);
    case Kind::gather_parameters:
      return "gather parameters of " + std::to_string(instruction.index);
    case Kind::reduce_gradients: return "reduce gradients of " + std::to_string(instruction.index);
  }
  return "";
}

}  // namespace trireme::schedules
