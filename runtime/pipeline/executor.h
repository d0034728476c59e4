#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"
#include "runtime/pipeline/passes.h"
#include "runtime/pipeline/program_spans.h"
#include "schedules/head_start.h"
#include "schedules/program.h"

namespace trireme::runtime {

// Runs one rank's part of a program: passes on the compute stream, each channel on a stream of its
// own (or all on one, if the program says so), so that messages travel while passes run. It knows
// no schedule by name.
//
// A message is received into memory that its pass then owns; a channel's slots are how many
// messages may be there, or on their way, before their passes have run. With every message travels
// what it is, and check_messages holds that against the program.
class Executor {
 public:
  struct MessageFormat {
    kernels::Shape shape;
    kernels::Dtype dtype = kernels::Dtype::f32;
  };

  // Collective over `pipeline`, whose ranks are the program's. All have the same program. The
  // program is proven free of deadlock: see deadlock_of. `spans`, if given, is borrowed and told of
  // every action and message; of the executors on a pipeline, one may have it.
  Executor(kernels::Backend& backend, kernels::Stream& compute, schedules::Program program,
           Communicator& pipeline, MessageFormat message, SpanLog* spans = nullptr);
  // Another program on the channels of `other`, which has all that this rank needs of them. Of the
  // two, one runs at a time, from `run` or `begin` until check_messages.
  Executor(kernels::Backend& backend, kernels::Stream& compute, schedules::Program program,
           const Executor& other, MessageFormat message);
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  ~Executor();

  const schedules::Program& program() const { return program_; }

  // Enqueues all passes of this rank and their messages, a few passes ahead of `compute`. Throws
  // ContractViolation, naming rank and action, if an action has no input.
  void run(Passes& passes);

  // The same in two parts, of which the first, head_start, can be taken back. After `begin` comes
  // `finish` with the same passes, or `abandon`, on every rank alike.
  void begin(Passes& passes);
  void finish(Passes& passes);
  // Takes what others have sent and forgets it. Blocks.
  void abandon();

  // When each action of this rank's list began and ended in the last run, in seconds since that
  // began: what it first waited for is not part of it. Once `compute` has passed the run.
  std::vector<schedules::Interval> intervals() const;

  // Blocks until all messages of the last run have come and gone. Throws CommunicationError if one
  // is not what the program says it is.
  void check_messages();

 private:
  // One end of a channel.
  struct End {
    std::shared_ptr<Communicator> group;  // the two ranks
    bool sends = false;
    int slots = 0;
    int released = 0;
    std::vector<int> transfers;  // by number
    // (transfers, 4) of int32: stage, micro-batch, payload and number of each message.
    kernels::Tensor labels;
    std::shared_ptr<std::byte[]> arrived;  // of what is received, the labels as the host sees them
  };

  // Transfers that follow each other on one stream.
  struct Lane {
    std::unique_ptr<kernels::Stream> stream;
    std::vector<int> channels;
    std::vector<int> transfers;
    std::size_t next = 0;
  };

  // A transfer of this rank in the current run.
  struct State {
    kernels::Tensor data;
    std::shared_ptr<const kernels::Event> ready;  // sent: computed; received: arrived
  };

  // When an action began and ended.
  struct Timed {
    std::shared_ptr<const kernels::Instant> start, end;
  };

  struct Outgoing {
    kernels::Tensor data;
    std::shared_ptr<const kernels::Event> gone;
  };

  using Key = std::pair<std::size_t, schedules::Payload>;  // a (stage, micro-batch) cell

  // Without channels yet.
  Executor(kernels::Backend& backend, kernels::Stream& compute, schedules::Program program,
           int rank, MessageFormat message, SpanLog* spans);

  bool is_mine(const schedules::Transfer& transfer) const;
  void open_channels(Communicator& pipeline);
  std::shared_ptr<Communicator> group_of(const schedules::Channel& channel) const;
  void add_end(int channel, std::shared_ptr<Communicator> group);
  void assign_transfers();
  void make_lanes();
  std::vector<std::int32_t> labels_of(const End& end) const;
  void begin_run();
  bool in_head(const schedules::Instruction& instruction) const;
  void run_instruction(Passes& passes, const schedules::Instruction& instruction);
  void receive(int transfer);
  void run_action(Passes& passes, int position);
  kernels::Tensor run_pass(Passes& passes, const schedules::Action& action);
  kernels::Tensor run_forward(Passes& passes, const schedules::Action& action);
  kernels::Tensor take_input(const schedules::Action& action, schedules::Payload payload);
  void hand_over(const schedules::Action& action, int position, kernels::Tensor out);
  void pump();
  bool is_ready(int transfer) const;
  void post(Lane& lane, int transfer);
  void drop_sent();

  kernels::Backend& backend_;
  kernels::Stream& compute_;
  schedules::Program program_;
  schedules::HeadStart head_;
  MessageFormat message_;
  int rank_;
  ProgramSpans spans_;
  std::map<int, End> ends_;  // by channel
  std::vector<Lane> lanes_;
  std::set<std::size_t> recomputed_;  // cells with a recompute pass
  std::map<int, int> sent_by_;        // position of an action: the transfer that it makes
  std::size_t next_ = 0;              // instruction
  bool head_only_ = false;            // what follows the head is not to be sent or received yet
  std::shared_ptr<const kernels::Instant> begun_;
  std::vector<Timed> timed_;  // of the actions enqueued so far
  std::map<int, State> states_;
  std::map<Key, kernels::Tensor> inputs_;
  std::deque<Outgoing> outgoing_;
  std::deque<std::shared_ptr<const kernels::Event>> running_;
};

}  // namespace trireme::runtime
