#include "schedules/head_start.h"

#include <algorithm>
#include <cstddef>

namespace trireme::schedules {
namespace {

std::size_t index(int value) { return static_cast<std::size_t>(value); }

// Transfers in the order in which they have to go: of each channel, or of each rank with one
// stream.
std::vector<std::vector<int>> lanes_of(const Program& program) {
  if (program.has_one_stream()) return program.transfer_order;
  std::vector<std::vector<int>> lanes(program.channels.size());
  for (std::size_t i = 0; i < program.transfers.size(); ++i) {
    lanes[index(program.transfers[i].channel)].push_back(static_cast<int>(i));
  }
  for (auto& lane : lanes) {
    std::ranges::sort(lane, {}, [&](int i) { return program.transfers[index(i)].number; });
  }
  return lanes;
}

// The first `count` actions, or fewer: a pair stays together.
int without_half_pairs(const std::vector<Action>& actions, int count) {
  while (count > 0 && actions[index(count - 1)].overlaps_next) --count;
  return count;
}

std::vector<int> leading_forward_passes(const Schedule& schedule) {
  std::vector<int> counts;
  for (const auto& actions : schedule.ranks) {
    const auto other = std::ranges::find_if(
        actions, [](const Action& action) { return action.pass != Pass::forward; });
    counts.push_back(without_half_pairs(actions, static_cast<int>(other - actions.begin())));
  }
  return counts;
}

// How many messages of each channel can be received within a head start: those that are used, and
// as many more as there are buffers.
std::vector<int> room_of(const Program& program, const std::vector<int>& actions) {
  std::vector<int> room;
  for (const Channel& channel : program.channels) room.push_back(channel.slots);
  for (const Transfer& transfer : program.transfers) {
    const ActionPlace& user = transfer.consumer;
    room[index(transfer.channel)] += user.position < actions[index(user.rank)] ? 1 : 0;
  }
  return room;
}

}  // namespace

HeadStart head_start(const Program& program) {
  HeadStart start{.actions = leading_forward_passes(program.schedule),
                  .transfers = std::vector<bool>(program.transfers.size(), true)};
  const auto lanes = lanes_of(program);
  // A pass that is cut takes messages with it, and these the passes that use them.
  for (bool changed = true; changed;) {
    changed = false;
    const auto room = room_of(program, start.actions);
    for (const auto& lane : lanes) {
      bool open = true;
      for (const int i : lane) {
        const Transfer& transfer = program.transfers[index(i)];
        open = open && start.transfers[index(i)] &&
               transfer.number < room[index(transfer.channel)] &&
               transfer.producer.position < start.actions[index(transfer.producer.rank)];
        if (open || !start.transfers[index(i)]) continue;
        start.transfers[index(i)] = false;
        const std::size_t user = index(transfer.consumer.rank);
        start.actions[user] =
            without_half_pairs(program.schedule.ranks[user],
                               std::min(start.actions[user], transfer.consumer.position));
        changed = true;
      }
    }
  }
  return start;
}

}  // namespace trireme::schedules
