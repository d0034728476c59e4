#pragma once

#include <memory>

#include "kernels/backend.h"
#include "runtime/comm/communicator.h"
#include "runtime/model/arriving.h"
#include "runtime/model/pending_sum.h"

namespace trireme::runtime {

// How ranks share every matrix of a layer (Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053):
// the first product of a pair splits its outputs, the second its inputs, and its results are
// summed. Between pairs every rank has all tokens or, sharing the sequence, 1/size of them
// (Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198).
//
// Two operations, each the gradient of the other. Alone, both hand on what they are given. Others
// hide behind products in two ways, on a stream of their own:
// - Begun and finished apart, they run beside what is enqueued in between: products that make
//   weight gradients, which nothing waits for.
// - Where products do wait, they take turns by pieces of the tokens: a product begins with the
//   piece that has arrived, and a piece of its results leaves while the next is made (Wang et al.
//   2023, https://doi.org/10.1145/3567955.3567959).
//
// A piece is consecutive rows of a micro-batch, and of every piece rank r has part r. So pieces are
// gathered and summed without moving a row.
class TensorParallel {
 public:
  // Of a rank that shares nothing.
  explicit TensorParallel(kernels::Backend& backend) : backend_(backend) {}
  // `group` is borrowed; nothing else runs on it at the same time. It has to divide the tokens of
  // a micro-batch if the sequence is shared. Pieces have at least `piece_rows` tokens.
  TensorParallel(kernels::Backend& backend, Communicator& group, bool shares_sequence,
                 std::int64_t piece_rows);

  int rank() const { return group_ ? group_->rank() : 0; }
  int size() const { return group_ ? group_->size() : 1; }
  // That a rank has between matrices, of so many in a micro-batch, and the reverse.
  std::int64_t local_tokens(std::int64_t tokens) const {
    return shares_sequence_ ? tokens / size() : tokens;
  }
  std::int64_t all_tokens(std::int64_t local) const {
    return shares_sequence_ ? local * size() : local;
  }

  // Before a matrix: this rank's tokens become all tokens.
  Gathered gather(kernels::Stream& stream, kernels::View tokens);
  // `tokens` must stay until it is finished.
  Arriving begin_gather(kernels::Stream& stream, kernels::View tokens);

  // After a matrix: each rank's summand, for all tokens, becomes the sum for this rank's tokens.
  kernels::Tensor sum(kernels::Stream& stream, kernels::Tensor summand);
  // The summand is what the product makes of `in`, in the memory given.
  kernels::Tensor sum_of(kernels::Stream& stream, kernels::View in, const Product& product,
                         kernels::Tensor summand);
  PendingSum begin_sum(kernels::Stream& stream, kernels::Tensor summand);

  // (ranks, n): every rank's n numbers. Nothing if alone.
  kernels::Tensor gather_parts(kernels::Stream& stream, kernels::View numbers);

 private:
  Gathered room_for_all(kernels::Stream& stream, kernels::View tokens);
  // For the sum of a shared sequence; any other stays where the summand is.
  kernels::Tensor room_for_sum(kernels::Stream& stream, kernels::View summand);

  std::int64_t pieces_of(std::int64_t tokens) const;
  void sum_pieces(kernels::Stream& stream, kernels::View summand, kernels::View mine);
  void sum_piece(kernels::Stream& stream, kernels::View summand, kernels::View mine);

  template <class Collective>
  void begin(kernels::Stream& stream, const Collective& collective);
  // Collectives of one group run one after the other, also when they are on two streams.
  void wait_for_begun(kernels::Stream& stream);

  kernels::Backend& backend_;
  Communicator* group_ = nullptr;
  bool shares_sequence_ = false;
  std::int64_t piece_rows_ = 0;
  std::unique_ptr<kernels::Stream> beside_;      // where begun collectives and pieces run
  std::shared_ptr<const kernels::Event> begun_;  // the last of them
};

}  // namespace trireme::runtime
