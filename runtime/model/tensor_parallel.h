#pragma once

#include <memory>

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"
#include "runtime/model/pending.h"

namespace trireme::runtime {

// How ranks share every matrix of a layer (Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053):
// the first product of a pair splits its outputs, the second its inputs, and its results are
// summed. Between pairs every rank has all tokens or, sharing the sequence, 1/size of them
// (Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198): consecutive rows of the micro-batch.
//
// Two operations, each the gradient of the other. Alone, both hand on what they are given. Begun
// and finished apart, they run on a stream of their own, beside what is enqueued in between:
// products that make weight gradients, which nothing waits for.
class TensorParallel {
 public:
  // Tokens as a matrix needs them. `all` is a view of `owned`, or of what was gathered from.
  struct Gathered {
    kernels::Tensor owned;
    kernels::View all;
  };

  // Of a rank that shares nothing.
  explicit TensorParallel(kernels::Backend& backend) : backend_(backend) {}
  // `group` is borrowed; nothing else runs on it at the same time. It has to divide the tokens of
  // a micro-batch if the sequence is shared.
  TensorParallel(kernels::Backend& backend, Communicator& group, bool shares_sequence);

  int rank() const { return group_ ? group_->rank() : 0; }
  int size() const { return group_ ? group_->size() : 1; }
  // That a rank has between matrices, of so many in a micro-batch.
  std::int64_t local_tokens(std::int64_t tokens) const {
    return shares_sequence_ ? tokens / size() : tokens;
  }

  // Before a matrix: this rank's tokens become all tokens.
  Gathered gather(kernels::Stream& stream, kernels::View tokens);
  // `tokens` must stay until it is finished.
  Pending<Gathered> begin_gather(kernels::Stream& stream, kernels::View tokens);

  // After a matrix: each rank's summand, for all tokens, becomes the sum for this rank's tokens.
  kernels::Tensor sum(kernels::Stream& stream, kernels::Tensor summand);
  Pending<kernels::Tensor> begin_sum(kernels::Stream& stream, kernels::Tensor summand);

  // (ranks, n): every rank's n numbers. Nothing if alone.
  kernels::Tensor gather_parts(kernels::Stream& stream, kernels::View numbers);

 private:
  Gathered room_for_all(kernels::Stream& stream, kernels::View tokens);
  kernels::Tensor room_for_mine(kernels::Stream& stream, kernels::View all);
  template <class Collective>
  void begin(kernels::Stream& stream, const Collective& collective);
  // Collectives of one group run one after the other, also when they are on two streams.
  void wait_for_begun(kernels::Stream& stream);

  kernels::Backend& backend_;
  Communicator* group_ = nullptr;
  bool shares_sequence_ = false;
  std::unique_ptr<kernels::Stream> beside_;      // where begun collectives run
  std::shared_ptr<const kernels::Event> begun_;  // the last of them
};

}  // namespace trireme::runtime
