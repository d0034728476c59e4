#include "runtime/comm/nccl/nccl_communicator.h"

#include <cuda_runtime.h>
#include <nccl.h>

#include <cstring>
#include <utility>

#include "kernels/check.h"
#include "kernels/cpu/host_stream.h"
#include "runtime/comm/nccl/nccl_group.h"
#include "runtime/comm/nccl/nccl_watch.h"
#include "runtime/comm/staged_communicator.h"

namespace trireme::runtime {
namespace {

using kernels::expects;
using kernels::Stream;
using kernels::View;

ncclDataType_t type_of(kernels::Dtype dtype) {
  switch (dtype) {
    case kernels::Dtype::f64: return ncclFloat64;
    case kernels::Dtype::bf16: return ncclBfloat16;
    case kernels::Dtype::f16: return ncclFloat16;
    case kernels::Dtype::i32: return ncclInt32;
    case kernels::Dtype::f32: break;
  }
  return ncclFloat32;
}

std::size_t count_of(View view) { return static_cast<std::size_t>(view.size()); }

std::byte* part_of(View all, int part, std::size_t bytes) {
  return static_cast<std::byte*>(all.data) + static_cast<std::size_t>(part) * bytes;
}

// What all groups of a rank share.
struct Node {
  kernels::Backend& device;
  NcclWatch watch;

  Node(kernels::Backend& on, const CommunicatorOptions& options)
      : device(on), watch(options.end_process_after, options.end_process) {}
  cudaStream_t native(Stream& stream) {
    return static_cast<cudaStream_t>(device.native_stream(stream));
  }
};

// The first rank's id, on all ranks of a group of the host.
ncclUniqueId shared_id(Communicator& group) {
  ncclUniqueId id = {};
  if (group.rank() == 0 && ncclGetUniqueId(&id) != ncclSuccess) {
    throw CommunicationError("group " + group.name() + ": NCCL finds no network to meet on: " +
                             std::string(ncclGetLastError(nullptr)));
  }
  kernels::HostStream stream;
  constexpr std::int64_t kNumbers = sizeof id.internal / sizeof(std::int32_t);
  group.broadcast(stream, View(id.internal, {1, kNumbers}, kernels::Dtype::i32), 0);
  stream.synchronize();
  return id;
}

// Groups over a group of the host, and whatever else is split from that.
class Family : public Communicator {
 public:
  Family(std::unique_ptr<Communicator> inner, std::shared_ptr<Node> node,
         std::chrono::milliseconds timeout)
      : inner_(std::move(inner)), node_(std::move(node)), timeout_(timeout) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  const std::string& name() const override { return inner_->name(); }

 private:
  std::unique_ptr<Communicator> split_off(int color, std::string name,
                                          const GroupOptions& options) override;

 protected:
  std::unique_ptr<Communicator> inner_;
  std::shared_ptr<Node> node_;
  std::chrono::milliseconds timeout_;
};

// What it carries goes through host memory: a communicator of NCCL takes hundreds of megabytes.
class SeldomGroup final : public Family {
 public:
  SeldomGroup(std::unique_ptr<Communicator> inner, std::shared_ptr<Node> node,
              std::chrono::milliseconds timeout)
      : Family(std::move(inner), std::move(node), timeout),
        staged_(make_staged(inner_->split(0, inner_->name()), node_->device)) {}

  void broadcast(Stream& stream, View data, int root) override {
    staged_->broadcast(stream, data, root);
  }
  void all_reduce(Stream& stream, View data) override { staged_->all_reduce(stream, data); }
  void reduce_scatter(Stream& stream, View all, View mine) override {
    staged_->reduce_scatter(stream, all, mine);
  }
  void all_gather(Stream& stream, View mine, View all) override {
    staged_->all_gather(stream, mine, all);
  }
  void all_to_all(Stream& stream, View sent, View received) override {
    staged_->all_to_all(stream, sent, received);
  }
  void exchange(Stream& stream, std::span<const Message> sends,
                std::span<const Message> receives) override {
    staged_->exchange(stream, sends, receives);
  }

 private:
  std::unique_ptr<Communicator> staged_;
};

class NcclCommunicator final : public Family {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> inner, std::shared_ptr<Node> node,
                   std::chrono::milliseconds timeout, bool only_messages)
      : Family(std::move(inner), std::move(node), timeout) {
    if (size() == 1) return;
    group_ = std::make_shared<NcclGroup>(shared_id(*inner_),
                                         NcclGroup::Place{.rank = rank(),
                                                          .size = size(),
                                                          .name = name(),
                                                          .timeout = timeout,
                                                          .only_messages = only_messages});
    node_->watch.join(group_);
  }
  // Groups end in the order of the program, which is the same on all ranks.
  ~NcclCommunicator() override {
    if (group_) node_->watch.leave(group_);
  }

  void broadcast(Stream& stream, View data, int root) override {
    expects(data.contiguous(), "broadcast: contiguous");
    if (size() == 1) return;
    enqueue(stream, "broadcast", [&](ncclComm_t group, cudaStream_t on, const auto& check) {
      check(ncclBroadcast(data.data, data.data, data.bytes(), ncclUint8, root, group, on));
    });
  }

  void all_reduce(Stream& stream, View data) override {
    expects(data.contiguous(), "all_reduce: contiguous");
    if (size() == 1) return;
    enqueue(stream, "all_reduce", [&](ncclComm_t group, cudaStream_t on, const auto& check) {
      check(ncclAllReduce(data.data, data.data, count_of(data), type_of(data.dtype), ncclSum, group,
                          on));
    });
  }

  void reduce_scatter(Stream& stream, View all, View mine) override {
    expects(all.contiguous() && mine.contiguous(), "reduce_scatter: contiguous");
    expects(mine.size() * size() == all.size(), "reduce_scatter: mine is 1/size of all");
    if (size() == 1) return copy(stream, all, mine);
    enqueue(stream, "reduce_scatter", [&](ncclComm_t group, cudaStream_t on, const auto& check) {
      check(ncclReduceScatter(all.data, mine.data, count_of(mine), type_of(all.dtype), ncclSum,
                              group, on));
    });
  }

  void all_gather(Stream& stream, View mine, View all) override {
    expects(all.contiguous() && mine.contiguous(), "all_gather: contiguous");
    expects(mine.size() * size() == all.size(), "all_gather: mine is 1/size of all");
    if (size() == 1) return copy(stream, mine, all);
    enqueue(stream, "all_gather", [&](ncclComm_t group, cudaStream_t on, const auto& check) {
      check(ncclAllGather(mine.data, all.data, mine.bytes(), ncclUint8, group, on));
    });
  }

  void all_to_all(Stream& stream, View sent, View received) override {
    expects(sent.contiguous() && received.contiguous(), "all_to_all: contiguous");
    expects(sent.bytes() == received.bytes() && sent.size() % size() == 0,
            "all_to_all: equal parts, as many as ranks");
    if (size() == 1) return copy(stream, sent, received);
    const std::size_t bytes = sent.bytes() / static_cast<std::size_t>(size());
    enqueue(stream, "all_to_all", [&](ncclComm_t group, cudaStream_t on, const auto& check) {
      for (int peer = 0; peer < size(); ++peer) {
        check(ncclSend(part_of(sent, peer, bytes), bytes, ncclUint8, peer, group, on));
        check(ncclRecv(part_of(received, peer, bytes), bytes, ncclUint8, peer, group, on));
      }
    });
  }

  void exchange(Stream& stream, std::span<const Message> sends,
                std::span<const Message> receives) override {
    expects(size() > 1 || sends.size() == receives.size(),
            "exchange: alone, what is sent is received by the same call");
    if (size() == 1) {
      for (std::size_t i = 0; i < sends.size(); ++i) copy(stream, sends[i].data, receives[i].data);
      return;
    }
    enqueue(stream, "exchange", [&](ncclComm_t group, cudaStream_t on, const auto& check) {
      for (const auto& [peer, data] : sends) {
        check(ncclSend(data.data, data.bytes(), ncclUint8, peer, group, on));
      }
      for (const auto& [peer, data] : receives) {
        check(ncclRecv(data.data, data.bytes(), ncclUint8, peer, group, on));
      }
    });
  }

 private:
  template <class Calls>
  void enqueue(Stream& stream, const char* operation, const Calls& calls) {
    const cudaStream_t on = node_->native(stream);
    auto begin = stream.record();
    group_->enqueue(operation, [&](ncclComm_t group, const NcclGroup::Check& check) {
      calls(group, on, check);
    });
    node_->watch.add({.group = group_,
                      .stream = &stream,
                      .fail = stream.failing(),
                      .name = operation,
                      .begin = std::move(begin),
                      .end = stream.record()});
  }

  void copy(Stream& stream, View from, View to) {
    if (from.data == to.data) return;
    const cudaError_t status = cudaMemcpyAsync(to.data, from.data, from.bytes(),
                                               cudaMemcpyDeviceToDevice, node_->native(stream));
    if (status != cudaSuccess) throw kernels::DeviceError(cudaGetErrorString(status));
  }

  std::shared_ptr<NcclGroup> group_;
};

std::unique_ptr<Communicator> Family::split_off(int color, std::string name,
                                                const GroupOptions& options) {
  auto inner = inner_->split(color, std::move(name), options);
  const auto timeout = options.timeout.value_or(timeout_);
  if (options.seldom) {
    return std::make_unique<SeldomGroup>(std::move(inner), node_, timeout);
  }
  return std::make_unique<NcclCommunicator>(std::move(inner), node_, timeout,
                                            options.only_messages);
}

}  // namespace
}  // namespace trireme::runtime

extern "C" trireme::runtime::Communicator* trireme_make_nccl(
    trireme::runtime::Communicator* inner, trireme::kernels::Backend* device,
    const trireme::runtime::CommunicatorOptions* options) {
  using namespace trireme::runtime;
  // Taken at once: also when what follows throws.
  std::unique_ptr<Communicator> taken(inner);
  // NCCL reads it when it is first used: connections of collectives, too, are made with the group.
  setenv("NCCL_RUNTIME_CONNECT", "0", 0);
  return std::make_unique<SeldomGroup>(std::move(taken), std::make_shared<Node>(*device, *options),
                                       options->timeout)
      .release();
}
