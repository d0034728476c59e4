#include "runtime/model/linear_pair.h"

#include <utility>

namespace trireme::runtime {

using kernels::Stream;
using kernels::Tensor;
using kernels::View;

LinearPair::LinearPair(TensorParallel& ranks, Linear first, Linear second)
    : ranks_(ranks), first_(first), second_(second) {}

Tensor LinearPair::first(Stream& stream, View x) const {
  Tensor y = first_.room_for_y(stream, ranks_.all_tokens(x.rows), x.dtype);
  ranks_.begin_gather(stream, x).finish_into(
      [&](View in, View out) { first_.forward(stream, in, out); }, y);
  return y;
}

Tensor LinearPair::second(Stream& stream, View inner) const {
  return ranks_.sum_of(
      stream, inner, [&](View in, View out) { second_.forward(stream, in, out); },
      second_.room_for_y(stream, inner.rows, inner.dtype));
}

Gathered LinearPair::gradient_of_first(Stream& stream, Arriving d_out, Saved& saved,
                                       const Between& between) const {
  const Tensor d_inner = second_.room_for_d_x(stream, saved.inner.rows(), saved.inner.view().dtype);
  Gathered d_all = d_out.finish_into(
      [&](View in, View out) { second_.backward_input(stream, in, out); }, d_inner);
  saved.d_first = between(d_inner);
  return d_all;
}

Tensor LinearPair::backward_input(Stream& stream, Tensor d_out, Saved& saved,
                                  const Between& between) const {
  gradient_of_first(stream, ranks_.begin_gather(stream, d_out), saved, between);
  saved.d_out = std::move(d_out);
  const View d_first = saved.d_first;
  return ranks_.sum_of(
      stream, d_first, [&](View in, View out) { first_.backward_input(stream, in, out); },
      first_.room_for_d_x(stream, d_first.rows, d_first.dtype));
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
  auto arriving = ranks_.begin_gather(stream, d_out);
  auto x = ranks_.begin_gather(stream, saved.x);
  const Gathered d_all = gradient_of_first(stream, std::move(arriving), saved, between);
  auto d_x = ranks_.begin_sum(stream, first_.backward_input(stream, saved.d_first));
  second_.backward_weight(stream, saved.inner, d_all.all);
  first_.backward_weight(stream, x.finish().all, saved.d_first);
  saved = {};
  saved.d_out = std::move(d_out);
  return d_x.finish();
}

}  // namespace trireme::runtime
