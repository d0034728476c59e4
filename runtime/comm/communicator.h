#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/tensor.h"

namespace trireme::runtime {

// A peer is dead, late, or did something else: the group cannot be used any more. Restart from a
// checkpoint.
struct CommunicationError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct CommunicatorOptions {
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
  // Poll for a short while before sleeping; wrong where ranks outnumber cores.
  bool spin = false;
  // For when even giving up hangs, as it may on a GPU: ends this process, and so the job, saying
  // why.
  std::function<void(const std::string& why)> end_process = {};
  std::chrono::milliseconds end_process_after = std::chrono::minutes(2);
};

// A contiguous view and the rank of the group at the other end.
struct Message {
  int peer;
  kernels::View data;
};

// How a group differs from the one it is split from, if it does.
struct GroupOptions {
  std::optional<std::chrono::milliseconds> timeout = {};
  // It only exchanges messages: few of a device's multiprocessors carry them, and the others go on
  // computing while a message is waited for.
  bool only_messages = false;
  // It carries nothing in a training step, and is there to be split: it takes nothing of a device.
  bool seldom = false;
};

// A group of ranks that act together. Every rank of the group makes the same calls in the same
// order. Operations are work on a stream like any other: they start after what was enqueued before
// them and are done when the stream has passed them, so a stream of their own runs them
// asynchronously. Every wait for a peer has a timeout, after which the stream fails with
// CommunicationError. Views are contiguous. Collectives of one group go on one stream, or wait for
// each other; what should overlap needs another group.
//
// A rank holds its communicators by reference, from the Mesh: nothing is global.
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // "world", "data", ...: what errors call the group.
  virtual const std::string& name() const = 0;

  // Collective, and done on return. Ranks with the same `color` form a new group, in their order
  // here.
  std::unique_ptr<Communicator> split(int color, std::string name,
                                      const GroupOptions& options = {}) {
    return split_off(color, std::move(name), options);
  }

  virtual void broadcast(kernels::Stream&, kernels::View data, int root) = 0;

  // Sums are of f32, f64, i32, bf16 or f16 (each addition in f32). The same inputs on the same
  // ranks give the same bits, on every rank.
  virtual void all_reduce(kernels::Stream&, kernels::View data) = 0;

  // `mine` is this rank's 1/size of the sum of `all`, and may be that part of `all`. What is left
  // in the rest of `all` is unspecified.
  virtual void reduce_scatter(kernels::Stream&, kernels::View all, kernels::View mine) = 0;

  // `mine` is this rank's 1/size of `all`, and may be that part of it.
  virtual void all_gather(kernels::Stream&, kernels::View mine, kernels::View all) = 0;

  // Part i of `sent` becomes part rank() of rank i's `received`; both in size() equal parts.
  virtual void all_to_all(kernels::Stream&, kernels::View sent, kernels::View received) = 0;

  // Sends and receives all at once, so that two neighbors cannot wait for each other. Messages
  // from one rank to another arrive in the order they were sent.
  virtual void exchange(kernels::Stream&, std::span<const Message> sends,
                        std::span<const Message> receives) = 0;

  // One message alone. Two ranks that both send first need two streams, or exchange.
  void send(kernels::Stream& stream, kernels::View data, int to);
  void receive(kernels::Stream& stream, kernels::View data, int from);

 protected:
  virtual std::unique_ptr<Communicator> split_off(int color, std::string name,
                                                  const GroupOptions& options) = 0;
};

// All ranks of this MPI job. MPI must be up, with MPI_THREAD_MULTIPLE. Throws CommunicationError
// if this build has no MPI.
std::unique_ptr<Communicator> make_mpi_world(CommunicatorOptions options);

}  // namespace trireme::runtime
