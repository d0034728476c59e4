#include "runtime/model/linear_pair.h"

#include <utility>

namespace trireme::runtime {

using kernels::Stream;
using kernels::Tensor;
using kernels::View;

LinearPair::LinearPair(TensorParallel& ranks, Linear first, Linear second)
    : ranks_(ranks), first_(first), second_(second) {}

Tensor LinearPair::first(Stream& stream, View x) const {
  return first_.forward(stream, ranks_.gather(stream, x).all);
}

Tensor LinearPair::second(Stream& stream, View inner) const {
  return ranks_.sum(stream, second_.forward(stream, inner));
}

Tensor LinearPair::summand(Stream& stream, View d_out, Saved& saved, const Between& between) const {
  saved.d_first = between(second_.backward_input(stream, d_out));
  return first_.backward_input(stream, saved.d_first);
}

Tensor LinearPair::backward_input(Stream& stream, Tensor d_out, Saved& saved,
                                  const Between& between) const {
  Tensor mine = summand(stream, ranks_.gather(stream, d_out).all, saved, between);
  saved.d_out = std::move(d_out);
  return ranks_.sum(stream, std::move(mine));
}

LinearPair::Inputs LinearPair::begin_weight(Stream& stream, const Saved& saved) const {
  auto d_out = ranks_.begin_gather(stream, saved.d_out);
  auto x = ranks_.begin_gather(stream, saved.x);
  return {.d_out = std::move(d_out), .x = std::move(x)};
}

void LinearPair::backward_weight(Stream& stream, Saved saved, Inputs inputs) const {
  second_.backward_weight(stream, saved.inner, inputs.d_out.finish().all);
  saved.inner.reset();
  first_.backward_weight(stream, inputs.x.finish().all, saved.d_first);
}

Tensor LinearPair::backward(Stream& stream, Tensor d_out, Saved& saved,
                            const Between& between) const {
  const auto d_all = ranks_.gather(stream, d_out);
  auto x = ranks_.begin_gather(stream, saved.x);
  auto d_x = ranks_.begin_sum(stream, summand(stream, d_all.all, saved, between));
  second_.backward_weight(stream, saved.inner, d_all.all);
  first_.backward_weight(stream, x.finish().all, saved.d_first);
  saved = {};
  saved.d_out = std::move(d_out);
  return d_x.finish();
}

}  // namespace trireme::runtime
