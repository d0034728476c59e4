#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "optim/adamw.h"
#include "runtime/comm/mesh.h"
#include "runtime/model/parameter_buffers.h"
#include "runtime/trace/span_log.h"

namespace trireme::runtime {

// Who else holds what this rank holds. The groups are used for this alone: nothing else runs on
// them at the same time.
struct ParameterGroups {
  std::unique_ptr<Communicator> data;    // the same slices, other samples
  std::unique_ptr<Communicator> tensor;  // all ranks that share the matrices
  std::unique_ptr<Communicator> copies;  // of these, those with the same key and value heads
  std::unique_ptr<Communicator> ends;    // the stages with a tied table
  std::unique_ptr<Communicator> stage;   // all ranks with the same layers
  std::unique_ptr<Communicator> stages;  // one rank of each stage: of every such group the same
};

// Collective over the world of `mesh`. `has_end`: this rank holds the embedding or the head.
ParameterGroups make_parameter_groups(const Mesh& mesh, int key_value_heads, bool has_end);

struct DataParallelOptions {
  // 1: each rank keeps the optimizer state of, and updates, its part of every bucket (ZeRO-1,
  // Rajbhandari et al. 2019, https://arxiv.org/abs/1910.02054). 0: every rank updates everything.
  int zero_stage = 1;
  // Tensor-parallel ranks share the tokens between the matrices, so each knows a part of the
  // gradients of what all of them hold.
  bool sequence_parallel = false;
  optim::AdamWOptions adamw;
  SpanLog* spans = nullptr;  // borrowed
};

// What a step's gradients amounted to, over all ranks.
struct Totals {
  double loss = 0;          // sum of the negative log-likelihoods
  double squared_norm = 0;  // of the gradients as they were accumulated
  bool stop = false;        // some rank wants to stop
  double bubble = 0;        // of this rank's pipeline, see WorkTimes; only with those of all stages
};

// When a rank of a pipeline ran passes in a step, in seconds since it began the step. All ranks
// begin one within the time of a message, because they waited for the last one together. The bubble
// is the share of the time from the first start to the last end, on any rank, in which a rank had
// no pass to run, on average over the ranks.
struct WorkTimes {
  double first_start = 0, last_end = 0, work = 0;
};

// From the gradients of a step to new parameters, on ranks that hold the same parameters: replicas
// of the model that see different samples, and what tensor-parallel ranks or the two ends of the
// pipeline hold in common. Sums their gradients and shares out the update. A bucket is reduced as
// soon as its last gradient is there, while the backward pass goes on; updated parameters are
// gathered while the next forward pass begins, which waits bucket by bucket. Communication runs on
// a stream of its own.
class DataParallel {
 public:
  // `buffers` must be padded for the size of the data-parallel group.
  DataParallel(kernels::Backend& backend, kernels::Stream& compute, ParameterBuffers& buffers,
               ParameterGroups groups, DataParallelOptions options);

  // Sets every parameter from its global name and index. Done on return.
  void initialize(std::uint64_t seed);

  // Makes `compute` wait until the parameters of `unit` are those of the last update.
  void before_unit(int unit);

  // Zeroes the gradients and forgets which units are complete.
  void begin_step();

  // The gradients of `unit` are complete once `compute` has done what is enqueued on it.
  void gradients_complete(int unit);

  // After the last unit: waits until the totals of the ranks with the same layers are known, which
  // are the same on all of them. `loss` is (1, 1) of f64, this rank's sum, complete on `compute`;
  // zero where another rank has the same loss.
  Totals reduce_stage_totals(kernels::View loss, bool stop);

  // Then those of all ranks: begun, and waited for some time later.
  void begin_totals(const WorkTimes& mine);
  Totals finish_totals();

  // The sum of every rank's `loss`, (1, 1) of f64, complete on `compute`. Collective; blocks.
  double reduce_loss(kernels::View loss);

  // Updates the parameters with the gradients times gradient_scale, and starts gathering them.
  void update(double learning_rate, double gradient_scale, std::int64_t step);

  // Before an update that may have to be taken back: keeps what it will change.
  void keep();
  // Takes it back, to the bit.
  void roll_back();

  // A part of a bucket with its optimizer state, (1, count) each.
  struct Share {
    int bucket = 0;
    std::int64_t first = 0, count = 0;  // elements of the bucket
    kernels::View master, first_moment, second_moment;
  };
  // What this rank updates, and so has to be given when a run goes on.
  std::vector<Share> updated_shares() const;
  // What this rank saves: one part of each bucket for every replica, whatever the ZeRO stage.
  std::vector<Share> saved_shares() const;
  // Somebody has set the master weights, on `compute`: makes the parameters everywhere follow.
  void adopt_master_weights();

  // Makes the sums of the last step's gradients whole on every rank of the group. Collective;
  // blocks.
  void gather_gradients();

  // Blocks until the parameters of the last update are everywhere on this rank.
  void synchronize();

 private:
  // Gradients in a bucket of which each of several ranks has a part.
  struct SharedGradients {
    std::vector<kernels::View> parts;
    kernels::Tensor packed;  // (1, n): one message for all of them
  };

  struct Bucket {
    kernels::View values, gradients;              // whole, (1, n)
    kernels::View owned_values, owned_gradients;  // what this rank updates
    SharedGradients among_tensor, among_copies;
    bool among_ends = false;
    std::vector<kernels::View> counted;  // gradients in this rank's part of the norm
    std::unique_ptr<optim::AdamW> optimizer;
    int complete = 0;
    std::shared_ptr<const kernels::Event> gathered;  // of the last update; shared with streams
  };

  enum class Sharing { none, tensor, copies };

  Sharing sharing_of(const models::Shard& shard) const;
  void describe(int bucket);
  void sum(const SharedGradients& shared, Communicator& group);
  void reduce(Bucket& bucket);
  void gather(Bucket& bucket);
  // What is enqueued on the compute stream from now on finds the values gathered.
  void wait_for_values(Bucket& bucket);
  void sum_totals(Communicator& group, kernels::View totals);
  double number_on_host(int i) const;
  Totals totals_on_host() const;
  double bubble_on_host() const;
  std::vector<optim::Segment> segments(int bucket, std::int64_t first, std::int64_t count) const;
  bool sharded() const { return options_.zero_stage == 1 && groups_.data->size() > 1; }

  kernels::Backend& backend_;
  kernels::Stream& compute_;
  ParameterBuffers& buffers_;
  ParameterGroups groups_;
  DataParallelOptions options_;
  std::unique_ptr<kernels::Stream> communication_;
  std::vector<Bucket> buckets_;
  // (1, 3 + 3 ranks of the pipeline) of f64: loss, squared norm, ranks that want to stop; then of
  // each rank of the pipeline its WorkTimes.
  kernels::Tensor totals_;
  std::shared_ptr<std::byte[]> host_;        // these, on the host
  std::shared_ptr<std::byte[]> host_times_;  // this rank's times, on their way to the device
};

}  // namespace trireme::runtime
