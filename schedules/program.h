#pragma once

#include <string>
#include <vector>

#include "schedules/schedule.h"
#include "schedules/simulate.h"

namespace trireme::schedules {

enum class Payload { activation, gradient };

// A first-in-first-out queue from one rank to another. The receiver owns `slots` buffers and uses
// them in turn: message n + slots is transferred once message n has been used.
struct Channel {
  int source = 0;
  int destination = 0;
  Payload payload = Payload::activation;
  int slots = 2;

  bool operator==(const Channel&) const = default;
};

// Where an action stands in its schedule.
struct ActionPlace {
  int rank = 0;
  int position = 0;
};

// One message. Both ends handle the messages of a channel in the order of their numbers.
struct Transfer {
  int channel = 0;
  int number = 0;  // in its channel, from 0
  int stage = 0;   // that produced it
  int micro_batch = 0;
  ActionPlace producer, consumer;
};

// One step of a rank, in the order of its compute stream.
struct Instruction {
  enum class Kind {
    receive,  // wait until transfer `index` has arrived
    run,      // run action `index` of the rank
    release,  // the buffer of transfer `index` is free again
    send,     // hand transfer `index` to its channel, in the channel's order; goes on at once
    gather_parameters,  // stage `index` runs for the first time
    reduce_gradients,   // the weight gradients of stage `index` are complete
  };
  Kind kind = Kind::run;
  int index = 0;

  bool operator==(const Instruction&) const = default;
};

// A schedule with its messages: what an executor runs.
struct Program {
  Schedule schedule;
  std::vector<Channel> channels;
  std::vector<Transfer> transfers;
  std::vector<std::vector<Instruction>> ranks;
  // Per rank: the order in which it handles all its transfers, sent and received, when it has one
  // communication stream for all of them. Empty if every channel has its own.
  std::vector<std::vector<int>> transfer_order;

  bool has_one_stream() const { return !transfer_order.empty(); }
};

// Adds messages to a schedule that check() accepts: one channel per (source, destination, payload).
// Messages go in the order of their use, which for all generated kinds is the order in which they
// are produced; one that is produced early waits at its source. So the program cannot hang, with
// any number of slots: put every transfer right before its consumer, and every wait goes back in
// time. With two slots, messages that take no longer than the passes between their uses delay
// nothing.
Program lower(const Schedule& schedule, int slots = 2);

// The same program for ranks with one communication stream: all ranks handle transfers in the
// order in which they start in a simulation of the program. Every wait goes forward in that order.
// Throws ScheduleError if the program can hang.
Program with_one_stream(Program program, const Costs& costs);

// The cycle of waiting that a program would hang in, in words that name ranks, actions and
// messages; empty if it cannot hang. One node per action, or overlapped pair, and one per transfer
// (its send and receive are one rendezvous); edges for the order of a rank's actions, from producer
// to transfer to consumer, from a transfer to the next on its channel or stream, and from the
// consumer of message n to message n + slots. If that is acyclic, something can always go on.
std::string deadlock_of(const Program& program);

// A program in time: actions wait for their messages, and messages for a buffer and for those
// before them. With one stream a rank handles one transfer at a time. Throws ScheduleError if the
// program can hang.
Timeline simulate(const Program& program, const Costs& costs);

// "receive 0F3 from 1", "run 1F3", ...
std::string to_text(const Program& program, int rank, const Instruction& instruction);

}  // namespace trireme::schedules
