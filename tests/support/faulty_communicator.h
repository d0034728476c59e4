#pragma once

#include <memory>
#include <string>
#include <utility>

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"

namespace trireme::test {

enum class Operation { all_reduce, reduce_scatter, all_gather };
enum class Fault { none, skip, twice };

// A bug, in one kind of collective of the groups of one name.
struct Bug {
  std::string group;
  Operation operation = Operation::all_reduce;
  Fault fault = Fault::none;
};

// A communicator with a bug in it, or in those split from it.
class FaultyCommunicator final : public runtime::Communicator {
 public:
  FaultyCommunicator(kernels::Backend& backend, runtime::Communicator& inner, Bug bug)
      : backend_(backend), inner_(inner), bug_(std::move(bug)) {}
  FaultyCommunicator(kernels::Backend& backend, std::unique_ptr<runtime::Communicator> inner,
                     Bug bug)
      : backend_(backend), owned_(std::move(inner)), inner_(*owned_), bug_(std::move(bug)) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  const std::string& name() const override { return inner_.name(); }

  std::unique_ptr<runtime::Communicator> split(int color, std::string name) override {
    return std::make_unique<FaultyCommunicator>(backend_, inner_.split(color, std::move(name)),
                                                bug_);
  }

  void broadcast(kernels::Stream& stream, kernels::View data, int root) override {
    inner_.broadcast(stream, data, root);
  }

  void all_reduce(kernels::Stream& stream, kernels::View data,
                  runtime::Reduction reduction) override {
    const Fault fault = fault_of(Operation::all_reduce);
    if (fault != Fault::skip) inner_.all_reduce(stream, data, reduction);
    if (fault == Fault::twice) twice(stream, data);
  }

  void reduce_scatter(kernels::Stream& stream, kernels::View all, kernels::View mine) override {
    const Fault fault = fault_of(Operation::reduce_scatter);
    if (fault == Fault::skip) {
      copy(stream, part_of(all, mine), mine);
    } else {
      inner_.reduce_scatter(stream, all, mine);
    }
    if (fault == Fault::twice) twice(stream, mine);
  }

  void all_gather(kernels::Stream& stream, kernels::View mine, kernels::View all) override {
    const Fault fault = fault_of(Operation::all_gather);
    if (fault == Fault::skip) {
      copy(stream, mine, part_of(all, mine));
    } else {
      inner_.all_gather(stream, mine, all);
    }
    if (fault == Fault::twice) twice(stream, all);
  }

  void all_to_all(kernels::Stream& stream, kernels::View sent, kernels::View received) override {
    inner_.all_to_all(stream, sent, received);
  }

  void exchange(kernels::Stream& stream, std::span<const runtime::Message> sends,
                std::span<const runtime::Message> receives) override {
    inner_.exchange(stream, sends, receives);
  }

 private:
  Fault fault_of(Operation operation) const {
    return name() == bug_.group && operation == bug_.operation ? bug_.fault : Fault::none;
  }

  kernels::View part_of(kernels::View all, kernels::View mine) const {
    return all.reshaped({1, all.size()}).column_range(rank() * mine.size(), mine.size());
  }

  void copy(kernels::Stream& stream, kernels::View from, kernels::View to) {
    if (from.data == to.data) return;
    const kernels::Shape flat{1, to.size()};
    backend_.run(stream, kernels::Convert{.x = from.reshaped(flat), .out = to.reshaped(flat)});
  }

  void twice(kernels::Stream& stream, kernels::View data) {
    const kernels::View flat = data.reshaped({1, data.size()});
    backend_.run(stream, kernels::Add{.a = flat, .b = flat, .out = flat});
  }

  kernels::Backend& backend_;
  std::unique_ptr<runtime::Communicator> owned_;
  runtime::Communicator& inner_;
  Bug bug_;
};

}  // namespace trireme::test
