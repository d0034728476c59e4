#include "runtime/trace/traced_communicator.h"

#include <utility>

namespace trireme::runtime {
namespace {

using kernels::Stream;
using kernels::View;

class TracedCommunicator final : public Communicator {
 public:
  TracedCommunicator(Communicator& group, SpanLog& spans) : group_(group), spans_(spans) {}
  TracedCommunicator(std::unique_ptr<Communicator> group, SpanLog& spans)
      : owned_(std::move(group)), group_(*owned_), spans_(spans) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  const std::string& name() const override { return group_.name(); }

  void broadcast(Stream& stream, View data, int root) override {
    record(stream, "broadcast", data, [&] { group_.broadcast(stream, data, root); });
  }
  void all_reduce(Stream& stream, View data) override {
    record(stream, "all-reduce", data, [&] { group_.all_reduce(stream, data); });
  }
  void reduce_scatter(Stream& stream, View all, View mine) override {
    record(stream, "reduce-scatter", all, [&] { group_.reduce_scatter(stream, all, mine); });
  }
  void all_gather(Stream& stream, View mine, View all) override {
    record(stream, "all-gather", all, [&] { group_.all_gather(stream, mine, all); });
  }
  void all_to_all(Stream& stream, View sent, View received) override {
    record(stream, "all-to-all", sent, [&] { group_.all_to_all(stream, sent, received); });
  }
  void exchange(Stream& stream, std::span<const Message> sends,
                std::span<const Message> receives) override {
    group_.exchange(stream, sends, receives);
  }

 protected:
  std::unique_ptr<Communicator> split_off(int color, std::string name,
                                          const GroupOptions& options) override {
    return std::make_unique<TracedCommunicator>(group_.split(color, std::move(name), options),
                                                spans_);
  }

 private:
  // A rank alone in its group does nothing worth a picture.
  template <class Operation>
  void record(Stream& stream, const char* operation, View data, const Operation& run) {
    if (!spans_.records() || size() == 1) return run();
    recorded(&spans_, stream, name(),
             {.name = std::string(operation) + ", " + name() + ", " + std::to_string(data.bytes()) +
                      " bytes",
              .kind = "collective"},
             run);
  }

  std::unique_ptr<Communicator> owned_;  // or nothing
  Communicator& group_;
  SpanLog& spans_;
};

}  // namespace

std::unique_ptr<Communicator> make_traced(Communicator& group, SpanLog& spans) {
  return std::make_unique<TracedCommunicator>(group, spans);
}

}  // namespace trireme::runtime
