#include "runtime/pipeline/executor.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>

#include "kernels/check.h"

namespace trireme::runtime {

using kernels::Category;
using kernels::Tensor;
using kernels::View;
using schedules::Action;
using schedules::Instruction;
using schedules::Pass;
using schedules::Payload;
using schedules::Transfer;

namespace {

// Passes enqueued and not done. Few, so that memory of sent messages is given back soon and a
// failure is noticed soon; enough that the device never waits for the host.
constexpr std::size_t kAhead = 4;
constexpr int kLabel = 4;  // numbers

std::size_t index(int value) { return static_cast<std::size_t>(value); }

}  // namespace

Executor::Executor(kernels::Backend& backend, kernels::Stream& compute, schedules::Program program,
                   Communicator& pipeline, MessageFormat message, SpanLog* spans)
    : Executor(backend, compute, std::move(program), pipeline.rank(), message, spans) {
  kernels::expects(static_cast<int>(program_.ranks.size()) == pipeline.size(),
                   "executor: a program for as many ranks as the pipeline has");
  open_channels(pipeline);
  assign_transfers();
  make_lanes();
}

Executor::Executor(kernels::Backend& backend, kernels::Stream& compute, schedules::Program program,
                   const Executor& other, MessageFormat message)
    : Executor(backend, compute, std::move(program), other.rank_, message, nullptr) {
  for (std::size_t i = 0; i < program_.channels.size(); ++i) {
    const schedules::Channel& channel = program_.channels[i];
    if (channel.source != rank_ && channel.destination != rank_) continue;
    add_end(static_cast<int>(i), other.group_of(channel));
  }
  assign_transfers();
  make_lanes();
}

Executor::Executor(kernels::Backend& backend, kernels::Stream& compute, schedules::Program program,
                   int rank, MessageFormat message, SpanLog* spans)
    : backend_(backend),
      compute_(compute),
      program_(std::move(program)),
      head_(schedules::head_start(program_)),
      message_(message),
      rank_(rank),
      spans_(program_, rank_, spans) {
  for (const Action& action : program_.schedule.ranks[index(rank_)]) {
    if (action.pass != Pass::recompute) continue;
    recomputed_.insert(program_.schedule.cell(action.stage, action.micro_batch));
  }
}

Executor::~Executor() {
  try {
    for (const Outgoing& one : outgoing_) one.gone->wait();
  } catch (const kernels::DeviceError&) {
    // The device is lost, and nothing runs on it any more.
  }
}

bool Executor::is_mine(const Transfer& transfer) const {
  return transfer.producer.rank == rank_ || transfer.consumer.rank == rank_;
}

void Executor::open_channels(Communicator& pipeline) {
  for (std::size_t i = 0; i < program_.channels.size(); ++i) {
    const schedules::Channel& channel = program_.channels[i];
    const bool sends = channel.source == rank_, receives = channel.destination == rank_;
    // Everybody takes part in making a group of two; the others are alone in theirs.
    auto group = pipeline.split(
        sends || receives ? 0 : 1 + rank_,
        "pipeline " + std::to_string(channel.source) + " to " + std::to_string(channel.destination),
        {.only_messages = true});
    if (sends || receives) add_end(static_cast<int>(i), std::move(group));
  }
}

std::shared_ptr<Communicator> Executor::group_of(const schedules::Channel& channel) const {
  for (const auto& [i, end] : ends_) {
    const schedules::Channel& own = program_.channels[index(i)];
    if (own.source == channel.source && own.destination == channel.destination &&
        own.payload == channel.payload) {
      return end.group;
    }
  }
  throw kernels::ContractViolation("executor: a channel that the other program has, too");
}

void Executor::add_end(int channel, std::shared_ptr<Communicator> group) {
  End& end = ends_[channel];
  end.group = std::move(group);
  end.sends = program_.channels[index(channel)].source == rank_;
  end.slots = program_.channels[index(channel)].slots;
}

// To the ends, with the labels of each.
void Executor::assign_transfers() {
  for (std::size_t i = 0; i < program_.transfers.size(); ++i) {
    const Transfer& transfer = program_.transfers[i];
    if (!is_mine(transfer)) continue;
    ends_.at(transfer.channel).transfers.push_back(static_cast<int>(i));
    if (transfer.producer.rank == rank_) {
      sent_by_[transfer.producer.position] = static_cast<int>(i);
    }
  }
  for (auto& [channel, end] : ends_) {
    const auto labels = labels_of(end);
    end.labels =
        backend_.allocate(compute_, {static_cast<std::int64_t>(end.transfers.size()), kLabel},
                          kernels::Dtype::i32, Category::workspace);
    if (end.sends) {
      backend_.upload(compute_, std::as_bytes(std::span(labels)), end.labels);
    } else {
      end.arrived = backend_.host_memory(end.labels.view().bytes());
    }
    compute_.synchronize();
  }
}

std::vector<std::int32_t> Executor::labels_of(const End& end) const {
  std::vector<std::int32_t> labels;
  for (const int i : end.transfers) {
    const Transfer& transfer = program_.transfers[index(i)];
    const Payload payload = program_.channels[index(transfer.channel)].payload;
    labels.insert(labels.end(), {transfer.stage, transfer.micro_batch, static_cast<int>(payload),
                                 transfer.number});
  }
  return labels;
}

void Executor::make_lanes() {
  const auto add = [&](std::vector<int> channels, std::vector<int> transfers) {
    lanes_.push_back({.stream = backend_.make_urgent_stream(),
                      .channels = std::move(channels),
                      .transfers = std::move(transfers)});
    spans_.name_lane(*lanes_.back().stream, lanes_.back().transfers);
  };
  if (program_.has_one_stream()) {
    std::vector<int> all;
    for (const auto& [channel, end] : ends_) all.push_back(channel);
    add(std::move(all), program_.transfer_order[index(rank_)]);
    return;
  }
  for (const auto& [channel, end] : ends_) add({channel}, end.transfers);
}

void Executor::run(Passes& passes) {
  begin_run();
  finish(passes);
}

void Executor::begin(Passes& passes) {
  begin_run();
  head_only_ = true;
  const auto& instructions = program_.ranks[index(rank_)];
  for (; next_ < instructions.size() && in_head(instructions[next_]); ++next_) {
    run_instruction(passes, instructions[next_]);
  }
  pump();
}

void Executor::finish(Passes& passes) {
  head_only_ = false;
  const auto& instructions = program_.ranks[index(rank_)];
  for (; next_ < instructions.size(); ++next_) run_instruction(passes, instructions[next_]);
  pump();
}

void Executor::abandon() {
  pump();
  for (const Lane& lane : lanes_) lane.stream->synchronize();
  drop_sent();
  states_.clear();
  inputs_.clear();
}

bool Executor::in_head(const Instruction& instruction) const {
  const int actions = head_.actions[index(rank_)];
  switch (instruction.kind) {
    case Instruction::Kind::receive:
      return program_.transfers[index(instruction.index)].consumer.position < actions;
    case Instruction::Kind::run: return instruction.index < actions;
    default: return true;  // follow an action
  }
}

void Executor::run_instruction(Passes& passes, const Instruction& instruction) {
  pump();
  switch (instruction.kind) {
    case Instruction::Kind::receive: receive(instruction.index); break;
    case Instruction::Kind::run: run_action(passes, instruction.index); break;
    case Instruction::Kind::release:
      ++ends_.at(program_.transfers[index(instruction.index)].channel).released;
      break;
    case Instruction::Kind::send: states_[instruction.index].ready = compute_.record(); break;
    // Parameters come and gradients go unit by unit: the passes know when.
    case Instruction::Kind::gather_parameters:
    case Instruction::Kind::reduce_gradients: break;
  }
}

void Executor::receive(int i) {
  const Transfer& transfer = program_.transfers[index(i)];
  State& state = states_[i];
  kernels::expects(state.ready != nullptr, "executor: a message is asked for in time");
  compute_.wait_for(state.ready);
  const Payload payload = program_.channels[index(transfer.channel)].payload;
  inputs_[{program_.schedule.cell(transfer.stage, transfer.micro_batch), payload}] =
      std::move(state.data);
}

std::vector<schedules::Interval> Executor::intervals() const {
  std::vector<schedules::Interval> found;
  for (const Timed& timed : timed_) {
    found.push_back(
        {.start = timed.start->seconds_since(*begun_), .end = timed.end->seconds_since(*begun_)});
  }
  return found;
}

void Executor::begin_run() {
  next_ = 0;
  spans_.begin_run();
  begun_ = compute_.instant();
  timed_.clear();
  head_only_ = false;
  states_.clear();
  kernels::expects(inputs_.empty(), "executor: every message of the last run was used");
  for (Lane& lane : lanes_) lane.next = 0;
  for (auto& [channel, end] : ends_) end.released = 0;
}

void Executor::run_action(Passes& passes, int position) {
  const Action& action = program_.schedule.ranks[index(rank_)][index(position)];
  if (running_.size() >= kAhead) {
    running_.front()->wait();
    running_.pop_front();
  }
  drop_sent();
  const kernels::Range range(backend_, to_text(action));
  Timed timed{.start = compute_.instant(), .end = nullptr};
  hand_over(action, position, run_pass(passes, action));
  timed.end = compute_.instant();
  spans_.action(compute_, position, timed.start, timed.end);
  timed_.push_back(std::move(timed));
  running_.push_back(compute_.record());
}

Tensor Executor::run_pass(Passes& passes, const Action& action) {
  const int stage = action.stage, micro_batch = action.micro_batch;
  switch (action.pass) {
    case Pass::forward: return run_forward(passes, action);
    case Pass::backward_input:
      return passes.backward_input(stage, micro_batch, take_input(action, Payload::gradient));
    case Pass::backward:
      return passes.backward(stage, micro_batch, take_input(action, Payload::gradient));
    case Pass::backward_weight: passes.backward_weight(stage, micro_batch); return {};
    case Pass::recompute: passes.recompute(stage, micro_batch); return {};
  }
  return {};
}

Tensor Executor::run_forward(Passes& passes, const Action& action) {
  Tensor out =
      passes.forward(action.stage, action.micro_batch, take_input(action, Payload::activation));
  if (recomputed_.contains(program_.schedule.cell(action.stage, action.micro_batch))) {
    passes.drop(action.stage, action.micro_batch);
  }
  return out;
}

// What the neighboring stage made of the micro-batch, on this rank or another.
Tensor Executor::take_input(const Action& action, Payload payload) {
  const int from = action.stage + (payload == Payload::activation ? -1 : 1);
  if (from < 0 || from >= program_.schedule.placement.stages) return {};
  const auto found = inputs_.find({program_.schedule.cell(from, action.micro_batch), payload});
  if (found == inputs_.end()) {
    throw kernels::ContractViolation("executor: rank " + std::to_string(rank_) + ", stage " +
                                     std::to_string(action.stage) + ": " + to_text(action) +
                                     " has no input");
  }
  Tensor input = std::move(found->second);
  inputs_.erase(found);
  return input;
}

void Executor::hand_over(const Action& action, int position, Tensor out) {
  if (!out) return;
  const auto sent = sent_by_.find(position);
  if (sent != sent_by_.end()) {
    states_[sent->second].data = std::move(out);
    return;
  }
  const Payload payload = action.pass == Pass::forward ? Payload::activation : Payload::gradient;
  inputs_[{program_.schedule.cell(action.stage, action.micro_batch), payload}] = std::move(out);
}

// Starts every transfer whose turn it is.
void Executor::pump() {
  for (Lane& lane : lanes_) {
    for (; lane.next < lane.transfers.size() && is_ready(lane.transfers[lane.next]); ++lane.next) {
      post(lane, lane.transfers[lane.next]);
    }
  }
}

bool Executor::is_ready(int i) const {
  if (head_only_ && !head_.transfers[index(i)]) return false;
  const Transfer& transfer = program_.transfers[index(i)];
  const End& end = ends_.at(transfer.channel);
  if (!end.sends) return transfer.number < end.slots + end.released;
  const auto state = states_.find(i);
  return state != states_.end() && state->second.ready != nullptr;
}

void Executor::post(Lane& lane, int i) {
  const Transfer& transfer = program_.transfers[index(i)];
  const End& end = ends_.at(transfer.channel);
  State& state = states_[i];
  const int peer = 1 - end.group->rank();
  const View label = end.labels.view().row_range(transfer.number, 1);
  if (end.sends) {
    lane.stream->wait_for(state.ready);
    auto start = spans_.start(*lane.stream);
    const std::array<Message, 2> parts{{{peer, label}, {peer, state.data}}};
    end.group->exchange(*lane.stream, parts, {});
    spans_.message(*lane.stream, i, std::move(start));
    outgoing_.push_back({.data = std::move(state.data), .gone = lane.stream->record()});
    return;
  }
  state.data = backend_.allocate(compute_, message_.shape, message_.dtype, Category::activations);
  lane.stream->wait_for(compute_);
  auto start = spans_.start(*lane.stream);
  const std::array<Message, 2> parts{{{peer, label}, {peer, state.data}}};
  end.group->exchange(*lane.stream, {}, parts);
  spans_.message(*lane.stream, i, std::move(start));
  state.ready = lane.stream->record();
}

void Executor::drop_sent() {
  std::erase_if(outgoing_, [](const Outgoing& one) { return one.gone->reached(); });
}

// The host waits for messages only: passes may still be under way.
void Executor::check_messages() {
  for (const Lane& lane : lanes_) {
    for (const int channel : lane.channels) {
      const End& end = ends_.at(channel);
      if (end.sends) continue;
      backend_.download(*lane.stream, end.labels, {end.arrived.get(), end.labels.view().bytes()});
    }
  }
  for (const Lane& lane : lanes_) lane.stream->synchronize();
  drop_sent();
  for (const auto& [channel, end] : ends_) {
    if (end.sends) continue;
    const std::vector<std::int32_t> expected = labels_of(end);
    std::vector<std::int32_t> found(expected.size());
    std::memcpy(found.data(), end.arrived.get(), end.labels.view().bytes());
    const auto wrong = std::ranges::mismatch(expected, found);
    if (wrong.in1 == expected.end()) continue;
    const auto number = index(static_cast<int>(wrong.in1 - expected.begin()) / kLabel);
    const auto text = [&](const std::vector<std::int32_t>& labels) {
      const auto* label = &labels[number * kLabel];
      return "stage " + std::to_string(label[0]) + ", micro-batch " + std::to_string(label[1]);
    };
    const Transfer& transfer = program_.transfers[index(end.transfers[number])];
    const Action& user = program_.schedule.ranks[index(rank_)][index(transfer.consumer.position)];
    throw CommunicationError("rank " + std::to_string(rank_) + " of the pipeline, " +
                             to_text(user) + ": the message of " + text(expected) +
                             " was due, that of " + text(found) + " came");
  }
}

}  // namespace trireme::runtime
