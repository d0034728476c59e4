#include "runtime/model/tensor_parallel.h"

#include <utility>

namespace trireme::runtime {

using kernels::Category;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

TensorParallel::TensorParallel(kernels::Backend& backend, Communicator& group, bool shares_sequence)
    : backend_(backend),
      group_(group.size() > 1 ? &group : nullptr),
      shares_sequence_(shares_sequence && group.size() > 1) {
  if (group_) beside_ = backend.make_urgent_stream();
}

TensorParallel::Gathered TensorParallel::room_for_all(Stream& stream, View tokens) {
  Gathered gathered{.owned = backend_.allocate(stream, {tokens.rows * size(), tokens.columns},
                                               tokens.dtype, Category::activations),
                    .all = {}};
  gathered.all = gathered.owned;
  return gathered;
}

Tensor TensorParallel::room_for_mine(Stream& stream, View all) {
  return backend_.allocate(stream, {local_tokens(all.rows), all.columns}, all.dtype,
                           Category::activations);
}

TensorParallel::Gathered TensorParallel::gather(Stream& stream, View tokens) {
  if (!shares_sequence_) return {.owned = {}, .all = tokens};
  Gathered gathered = room_for_all(stream, tokens);
  wait_for_begun(stream);
  group_->all_gather(stream, tokens, gathered.all);
  return gathered;
}

Pending<TensorParallel::Gathered> TensorParallel::begin_gather(Stream& stream, View tokens) {
  if (!shares_sequence_) return Pending<Gathered>({.owned = {}, .all = tokens});
  Gathered gathered = room_for_all(stream, tokens);
  begin(stream, [&](Stream& beside) { group_->all_gather(beside, tokens, gathered.all); });
  return {std::move(gathered), {}, stream, begun_};
}

Tensor TensorParallel::sum(Stream& stream, Tensor summand) {
  if (size() == 1) return summand;
  wait_for_begun(stream);
  if (!shares_sequence_) {
    group_->all_reduce(stream, summand);
    return summand;
  }
  Tensor mine = room_for_mine(stream, summand);
  group_->reduce_scatter(stream, summand, mine);
  return mine;
}

Pending<Tensor> TensorParallel::begin_sum(Stream& stream, Tensor summand) {
  if (size() == 1) return Pending<Tensor>(std::move(summand));
  if (!shares_sequence_) {
    begin(stream, [&](Stream& beside) { group_->all_reduce(beside, summand); });
    return {std::move(summand), {}, stream, begun_};
  }
  Tensor mine = room_for_mine(stream, summand);
  begin(stream, [&](Stream& beside) { group_->reduce_scatter(beside, summand, mine); });
  return {std::move(mine), std::move(summand), stream, begun_};
}

Tensor TensorParallel::gather_parts(Stream& stream, View numbers) {
  if (size() == 1) return {};
  Tensor all =
      backend_.allocate(stream, {size(), numbers.size()}, numbers.dtype, Category::activations);
  wait_for_begun(stream);
  group_->all_gather(stream, numbers, all);
  return all;
}

template <class Collective>
void TensorParallel::begin(Stream& stream, const Collective& collective) {
  beside_->wait_for(stream);
  collective(*beside_);
  begun_ = beside_->record();
}

void TensorParallel::wait_for_begun(Stream& stream) {
  if (begun_) stream.wait_for(std::exchange(begun_, nullptr));
}

}  // namespace trireme::runtime
