#include "runtime/model/vocabulary.h"

#include <utility>

namespace trireme::runtime {

using kernels::Category;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

namespace {

// Rows of logits begin at multiples of this: of 50257 numbers of two bytes few rows would begin
// where units that load 16 bytes or more at a time can.
constexpr std::size_t kRowBytes = 128;

// The first row of a sliced table.
std::int64_t first_row(const LayerContext& context, const std::string& name) {
  for (const auto& slot : context.buffers.slots()) {
    if (slot.parameter().name == name) return slot.shard.slice.first_row;
  }
  return 0;
}

std::string output_table(const models::Shape& shape) {
  return shape.tie_word_embeddings ? models::kEmbeddingTable : "lm_head.weight";
}

}  // namespace

TokenEmbedding::TokenEmbedding(const LayerContext& context)
    : backend_(context.backend),
      ranks_(context.ranks),
      table_(context.buffers.weight(models::kEmbeddingTable)),
      positions_(context.added_to_sum("model.embed_positions.weight")),
      sequence_(context.sequence),
      first_id_(first_row(context, models::kEmbeddingTable)) {}

Tensor TokenEmbedding::forward(Stream& stream, View tokens) const {
  Tensor out = backend_.allocate(stream, {tokens.rows, table_.value.columns}, table_.value.dtype,
                                 Category::activations);
  backend_.run(stream, kernels::Embedding{.ids = tokens,
                                          .table = table_.value,
                                          .positions = positions_.value,
                                          .out = out,
                                          .sequence = sequence_,
                                          .first_id = first_id_});
  return ranks_.sum(stream, std::move(out));
}

void TokenEmbedding::backward_weight(Stream& stream, View tokens, View d_out) const {
  const auto d_all = ranks_.gather(stream, d_out);
  backend_.run(stream, kernels::EmbeddingBackward{.ids = tokens,
                                                  .d_out = d_all.all,
                                                  .d_table = table_.gradient,
                                                  .d_positions = positions_.gradient,
                                                  .sequence = sequence_,
                                                  .first_id = first_id_});
}

Head::Head(const LayerContext& context)
    : backend_(context.backend),
      ranks_(context.ranks),
      norm_(context, "model.norm"),
      projection_(context.backend, context.buffers.weight(output_table(context.shape)), Weight()),
      first_id_(first_row(context, output_table(context.shape))) {}

void Head::forward(Stream& stream, Tensor x, const Target& target, Saved& saved) const {
  saved.normalized = norm_.forward(stream, x, View(), saved.norm).out;
  saved.x = std::move(x);
  saved.d_logits = project(stream, saved.normalized);
  cross_entropy(stream, logits_in(saved.d_logits), target, /*with_gradient=*/true);
}

Tensor Head::backward_input(Stream& stream, Saved& saved) const {
  const View d_logits = logits_in(saved.d_logits);
  const Tensor d_normalized = ranks_.sum_of(
      stream, d_logits, [&](View in, View out) { projection_.backward_input(stream, in, out); },
      projection_.room_for_d_x(stream, d_logits.rows, d_logits.dtype));
  Tensor d_x = norm_.backward(stream, saved.x, d_normalized, View(), saved.norm);
  saved.x.reset();
  saved.norm = {};
  return d_x;
}

void Head::backward_weight(Stream& stream, Saved saved) const {
  projection_.backward_weight(stream, ranks_.gather(stream, saved.normalized).all,
                              logits_in(saved.d_logits));
}

Tensor Head::backward(Stream& stream, Saved saved) const {
  auto normalized = ranks_.begin_gather(stream, saved.normalized);
  const View d_logits = logits_in(saved.d_logits);
  auto d_normalized = ranks_.begin_sum(stream, projection_.backward_input(stream, d_logits));
  projection_.backward_weight(stream, normalized.finish().all, d_logits);
  return norm_.backward(stream, saved.x, d_normalized.finish(), View(), saved.norm);
}

Tensor Head::project(Stream& stream, View normalized) const {
  const auto row = static_cast<std::int64_t>(kRowBytes / kernels::size_of(normalized.dtype));
  const std::int64_t stride = (projection_.outputs() + row - 1) / row * row;
  Tensor padded = backend_.allocate(stream, {ranks_.all_tokens(normalized.rows), stride},
                                    normalized.dtype, Category::activations);
  ranks_.begin_gather(stream, normalized)
      .finish_into([&](View in, View out) { projection_.forward(stream, in, out); },
                   logits_in(padded));
  return padded;
}

View Head::logits_in(View padded) const { return padded.column_range(0, projection_.outputs()); }

Tensor Head::logits(Stream& stream, View x) const {
  Norm::Saved statistics;
  const Tensor normalized = norm_.forward(stream, x, View(), statistics).out;
  return projection_.forward(stream, ranks_.gather(stream, normalized).all);
}

void Head::evaluate(Stream& stream, Tensor x, const Target& target) const {
  Norm::Saved statistics;
  const Tensor normalized = norm_.forward(stream, x, View(), statistics).out;
  const Tensor padded = project(stream, normalized);
  cross_entropy(stream, logits_in(padded), target, /*with_gradient=*/false);
}

void Head::cross_entropy(Stream& stream, View logits, const Target& target,
                         bool with_gradient) const {
  const std::int64_t tokens = logits.rows;
  const Tensor found = backend_.allocate(stream, {3, tokens}, kernels::accumulator_of(logits.dtype),
                                         Category::activations);
  const auto column = [&](std::int64_t i) {
    return found.view().row_range(i, 1).reshaped({tokens, 1});
  };
  const View maximum = column(0), sum_exp = column(1), target_logit = column(2);
  backend_.run(stream, kernels::CrossEntropyStatistics{.logits = logits,
                                                       .targets = target.tokens,
                                                       .maximum = maximum,
                                                       .sum_exp = sum_exp,
                                                       .target_logit = target_logit,
                                                       .first_id = first_id_});
  if (const Tensor parts = ranks_.gather_parts(stream, found)) {
    backend_.run(
        stream,
        kernels::MergeStatistics{
            .parts = parts, .maximum = maximum, .sum_exp = sum_exp, .target_logit = target_logit});
  }
  backend_.run(stream, kernels::CrossEntropy{.logits = logits,
                                             .targets = target.tokens,
                                             .maximum = maximum,
                                             .sum_exp = sum_exp,
                                             .target_logit = target_logit,
                                             .loss = target.loss,
                                             .first_id = first_id_,
                                             .gradient_scale = target.gradient_scale,
                                             .with_gradient = with_gradient});
}

}  // namespace trireme::runtime
