#pragma once

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"

namespace trireme::runtime {

// How ranks share every matrix of a layer (Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053):
// the first product of a pair splits its outputs, the second its inputs, and its results are
// summed. Between pairs every rank has all tokens or, sharing the sequence, 1/size of them
// (Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198): consecutive rows of the micro-batch.
//
// Two operations, each the gradient of the other. Alone, both hand on what they are given.
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
  Gathered gather(kernels::Stream& stream, kernels::View tokens) const;

  // After a matrix: each rank's summand, for all tokens, becomes the sum for this rank's tokens.
  kernels::Tensor sum(kernels::Stream& stream, kernels::Tensor summand) const;

  // (ranks, n): every rank's n numbers. Nothing if alone.
  kernels::Tensor gather_parts(kernels::Stream& stream, kernels::View numbers) const;

 private:
  kernels::Backend& backend_;
  Communicator* group_ = nullptr;
  bool shares_sequence_ = false;
};

}  // namespace trireme::runtime
