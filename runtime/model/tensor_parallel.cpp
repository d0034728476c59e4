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
      shares_sequence_(shares_sequence && group.size() > 1) {}

TensorParallel::Gathered TensorParallel::gather(Stream& stream, View tokens) const {
  if (!shares_sequence_) return {.owned = {}, .all = tokens};
  Gathered gathered{.owned = backend_.allocate(stream, {tokens.rows * size(), tokens.columns},
                                               tokens.dtype, Category::activations),
                    .all = {}};
  gathered.all = gathered.owned;
  group_->all_gather(stream, tokens, gathered.all);
  return gathered;
}

Tensor TensorParallel::sum(Stream& stream, Tensor summand) const {
  if (size() == 1) return summand;
  if (!shares_sequence_) {
    group_->all_reduce(stream, summand, Reduction::sum);
    return summand;
  }
  Tensor mine = backend_.allocate(stream, {local_tokens(summand.rows()), summand.columns()},
                                  summand.view().dtype, Category::activations);
  group_->reduce_scatter(stream, summand, mine);
  return mine;
}

Tensor TensorParallel::gather_parts(Stream& stream, View numbers) const {
  if (size() == 1) return {};
  Tensor all =
      backend_.allocate(stream, {size(), numbers.size()}, numbers.dtype, Category::activations);
  group_->all_gather(stream, numbers, all);
  return all;
}

}  // namespace trireme::runtime
