#pragma once

#include <memory>
#include <string>
#include <utility>

#include "runtime/comm/communicator.h"

namespace trireme::test {

// Hands everything on to another communicator: what tests build theirs on, changing what they are
// about. Groups split from it are wrapped too.
class ForwardingCommunicator : public runtime::Communicator {
 public:
  explicit ForwardingCommunicator(runtime::Communicator& inner) : inner_(inner) {}
  explicit ForwardingCommunicator(std::unique_ptr<runtime::Communicator> inner)
      : owned_(std::move(inner)), inner_(*owned_) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  const std::string& name() const override { return inner_.name(); }

  void broadcast(kernels::Stream& stream, kernels::View data, int root) override {
    inner_.broadcast(stream, data, root);
  }
  void all_reduce(kernels::Stream& stream, kernels::View data) override {
    inner_.all_reduce(stream, data);
  }
  void reduce_scatter(kernels::Stream& stream, kernels::View all, kernels::View mine) override {
    inner_.reduce_scatter(stream, all, mine);
  }
  void all_gather(kernels::Stream& stream, kernels::View mine, kernels::View all) override {
    inner_.all_gather(stream, mine, all);
  }
  void all_to_all(kernels::Stream& stream, kernels::View sent, kernels::View received) override {
    inner_.all_to_all(stream, sent, received);
  }
  void exchange(kernels::Stream& stream, std::span<const runtime::Message> sends,
                std::span<const runtime::Message> receives) override {
    inner_.exchange(stream, sends, receives);
  }

 private:
  std::unique_ptr<runtime::Communicator> split_off(int color, std::string name,
                                                   const runtime::GroupOptions& options) override {
    return wrap(inner_.split(color, std::move(name), options));
  }
  virtual std::unique_ptr<runtime::Communicator> wrap(
      std::unique_ptr<runtime::Communicator> group) = 0;

  std::unique_ptr<runtime::Communicator> owned_;
  runtime::Communicator& inner_;
};

}  // namespace trireme::test
