#include "runtime/pipeline/program_spans.h"

#include <utility>

namespace trireme::runtime {

using schedules::Action;
using schedules::Channel;
using schedules::Transfer;

namespace {

std::size_t index(int value) { return static_cast<std::size_t>(value); }

}  // namespace

ProgramSpans::ProgramSpans(const schedules::Program& program, int rank, SpanLog* log)
    : program_(program), rank_(rank), log_(log) {
  for (std::size_t i = 0; i < program.transfers.size(); ++i) {
    const schedules::ActionPlace& consumer = program.transfers[i].consumer;
    if (consumer.rank == rank) received_by_[consumer.position] = static_cast<int>(i);
  }
}

void ProgramSpans::name_lane(const kernels::Stream& stream, std::span<const int> transfers) {
  if (!log_) return;
  if (program_.has_one_stream() || transfers.empty()) {
    log_->name_lane(stream, "messages");
    return;
  }
  const Channel& channel =
      program_.channels[index(program_.transfers[index(transfers.front())].channel)];
  const bool sends = channel.source == rank_;
  const bool forward = channel.payload == schedules::Payload::activation;
  log_->name_lane(stream, std::string(forward ? "activations " : "gradients ") +
                              (sends ? "to" : "from") + " pipeline rank " +
                              std::to_string(sends ? channel.destination : channel.source));
}

SpanLog::Instant ProgramSpans::start(kernels::Stream& stream) const {
  return log_ && log_->records() ? stream.instant() : nullptr;
}

void ProgramSpans::action(const kernels::Stream& stream, int position, SpanLog::Instant start,
                          SpanLog::Instant end) {
  if (!log_ || !log_->records()) return;
  const Action& action = program_.schedule.ranks[index(rank_)][index(position)];
  const auto received = received_by_.find(position);
  log_->add(stream, "compute",
            {.name = to_text(action),
             .kind = name_of(action.pass),
             .received = received == received_by_.end() ? "" : name_of_message(received->second)},
            std::move(start), std::move(end));
}

void ProgramSpans::message(kernels::Stream& stream, int i, SpanLog::Instant start) {
  if (!start) return;
  const Transfer& transfer = program_.transfers[index(i)];
  const bool sends = transfer.producer.rank == rank_;
  const Action& made =
      program_.schedule.ranks[index(transfer.producer.rank)][index(transfer.producer.position)];
  log_->add(stream, "messages",
            {.name = (sends ? "send " : "receive ") + to_text(made),
             .kind = "message",
             .sent = sends ? name_of_message(i) : ""},
            std::move(start), stream.instant());
}

std::string ProgramSpans::name_of_message(int transfer) const {
  return std::to_string(runs_) + "." + std::to_string(transfer);
}

}  // namespace trireme::runtime
