#pragma once

#include <memory>
#include <string>
#include <utility>

#include "kernels/backend.h"
#include "tests/support/forwarding_communicator.h"

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
class FaultyCommunicator final : public ForwardingCommunicator {
 public:
  template <class Inner>
  FaultyCommunicator(kernels::Backend& backend, Inner&& inner, Bug bug)
      : ForwardingCommunicator(std::forward<Inner>(inner)),
        backend_(backend),
        bug_(std::move(bug)) {}

  void all_reduce(kernels::Stream& stream, kernels::View data) override {
    const Fault fault = fault_of(Operation::all_reduce);
    if (fault != Fault::skip) ForwardingCommunicator::all_reduce(stream, data);
    if (fault == Fault::twice) twice(stream, data);
  }

  void reduce_scatter(kernels::Stream& stream, kernels::View all, kernels::View mine) override {
    const Fault fault = fault_of(Operation::reduce_scatter);
    if (fault == Fault::skip) {
      copy(stream, part_of(all, mine), mine);
    } else {
      ForwardingCommunicator::reduce_scatter(stream, all, mine);
    }
    if (fault == Fault::twice) twice(stream, mine);
  }

  void all_gather(kernels::Stream& stream, kernels::View mine, kernels::View all) override {
    const Fault fault = fault_of(Operation::all_gather);
    if (fault == Fault::skip) {
      copy(stream, mine, part_of(all, mine));
    } else {
      ForwardingCommunicator::all_gather(stream, mine, all);
    }
    if (fault == Fault::twice) twice(stream, all);
  }

 private:
  std::unique_ptr<runtime::Communicator> wrap(
      std::unique_ptr<runtime::Communicator> group) override {
    return std::make_unique<FaultyCommunicator>(backend_, std::move(group), bug_);
  }

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
  Bug bug_;
};

}  // namespace trireme::test
