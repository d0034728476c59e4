#include "runtime/model/tensor_parallel.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace trireme::runtime {

using kernels::Category;
using kernels::Event;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

namespace {

// All but a quarter of a collective can hide; more pieces would gain little and cost launches.
constexpr std::int64_t kMostPieces = 4;

View piece(View rows, std::int64_t i, std::int64_t pieces) {
  const std::int64_t each = rows.rows / pieces;
  return rows.row_range(i * each, each);
}

}  // namespace

TensorParallel::TensorParallel(kernels::Backend& backend, Communicator& group, bool shares_sequence,
                               std::int64_t piece_rows)
    : backend_(backend),
      group_(group.size() > 1 ? &group : nullptr),
      shares_sequence_(shares_sequence && group.size() > 1),
      piece_rows_(piece_rows) {
  if (group_) beside_ = backend.make_urgent_stream();
}

Gathered TensorParallel::room_for_all(Stream& stream, View tokens) {
  Gathered gathered{.owned = backend_.allocate(stream, {tokens.rows * size(), tokens.columns},
                                               tokens.dtype, Category::activations),
                    .all = {}};
  gathered.all = gathered.owned;
  return gathered;
}

std::int64_t TensorParallel::pieces_of(std::int64_t tokens) const {
  const std::int64_t parts = shares_sequence_ ? size() : 1;
  std::int64_t pieces = std::clamp<std::int64_t>(tokens / piece_rows_, 1, kMostPieces);
  while (pieces > 1 && tokens % (pieces * parts) != 0) --pieces;
  return pieces;
}

Gathered TensorParallel::gather(Stream& stream, View tokens) {
  return begin_gather(stream, tokens).finish();
}

Arriving TensorParallel::begin_gather(Stream& stream, View tokens) {
  if (!shares_sequence_) return {{.owned = {}, .all = tokens}, stream, {}};
  Gathered gathered = room_for_all(stream, tokens);
  Arriving::Pieces arriving;
  const std::int64_t pieces = pieces_of(gathered.all.rows);
  for (std::int64_t i = 0; i < pieces; ++i) {
    begin(stream, [&](Stream& beside) {
      group_->all_gather(beside, piece(tokens, i, pieces), piece(gathered.all, i, pieces));
    });
    arriving.push_back(begun_);
  }
  return {std::move(gathered), stream, std::move(arriving)};
}

Tensor TensorParallel::room_for_sum(Stream& stream, View summand) {
  if (!shares_sequence_) return {};
  return backend_.allocate(stream, {local_tokens(summand.rows), summand.columns}, summand.dtype,
                           Category::activations);
}

void TensorParallel::sum_piece(Stream& stream, View summand, View mine) {
  if (shares_sequence_) {
    group_->reduce_scatter(stream, summand, mine);
  } else {
    group_->all_reduce(stream, summand);
  }
}

void TensorParallel::sum_pieces(Stream& stream, View summand, View mine) {
  const std::int64_t pieces = shares_sequence_ ? pieces_of(summand.rows) : 1;
  for (std::int64_t i = 0; i < pieces; ++i) {
    sum_piece(stream, piece(summand, i, pieces), piece(mine, i, pieces));
  }
}

Tensor TensorParallel::sum(Stream& stream, Tensor summand) {
  if (size() == 1) return summand;
  Tensor mine = room_for_sum(stream, summand);
  wait_for_begun(stream);
  sum_pieces(stream, summand, mine ? mine : summand);
  return mine ? std::move(mine) : std::move(summand);
}

PendingSum TensorParallel::begin_sum(Stream& stream, Tensor summand) {
  if (size() == 1) return PendingSum(std::move(summand));
  Tensor mine = room_for_sum(stream, summand);
  begin(stream, [&](Stream& beside) { sum_pieces(beside, summand, mine ? mine : summand); });
  if (!mine) return {std::move(summand), {}, stream, begun_};
  return {std::move(mine), std::move(summand), stream, begun_};
}

Tensor TensorParallel::sum_of(Stream& stream, View in, const Product& product, Tensor summand) {
  const std::int64_t pieces = size() == 1 ? 1 : pieces_of(summand.rows());
  if (pieces == 1) {
    product(in, summand);
    return sum(stream, std::move(summand));
  }
  Tensor room = room_for_sum(stream, summand);
  const View mine = room ? room : summand;
  for (std::int64_t i = 0; i < pieces; ++i) {
    const View made = piece(summand, i, pieces);
    product(piece(in, i, pieces), made);
    begin(stream, [&](Stream& beside) { sum_piece(beside, made, piece(mine, i, pieces)); });
  }
  wait_for_begun(stream);
  return room ? std::move(room) : std::move(summand);
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
