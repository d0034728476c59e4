#include "runtime/model/vocabulary.h"

#include <utility>

namespace trireme::runtime {

using kernels::Category;
using kernels::Stream;
using kernels::Tensor;
using kernels::View;

TokenEmbedding::TokenEmbedding(kernels::Backend& backend, const ParameterBuffers& buffers,
                               std::int64_t sequence)
    : backend_(backend),
      table_(buffers.weight("model.embed_tokens.weight")),
      positions_(buffers.find("model.embed_positions.weight")),
      sequence_(sequence) {}

Tensor TokenEmbedding::forward(Stream& stream, View tokens) const {
  Tensor out = backend_.allocate(stream, {tokens.rows, table_.value.columns}, table_.value.dtype,
                                 Category::activations);
  backend_.run(stream, kernels::Embedding{.ids = tokens,
                                          .table = table_.value,
                                          .positions = positions_.value,
                                          .out = out,
                                          .sequence = sequence_});
  return out;
}

void TokenEmbedding::backward_weight(Stream& stream, View tokens, View d_out) const {
  backend_.run(stream, kernels::EmbeddingBackward{.ids = tokens,
                                                  .d_out = d_out,
                                                  .d_table = table_.gradient,
                                                  .d_positions = positions_.gradient,
                                                  .sequence = sequence_});
}

Head::Head(kernels::Backend& backend, const ParameterBuffers& buffers, const models::Shape& shape)
    : backend_(backend),
      norm_(backend, buffers, "model.norm", shape),
      projection_(backend,
                  buffers.weight(shape.tie_word_embeddings ? "model.embed_tokens.weight"
                                                           : "lm_head.weight"),
                  Weight()) {}

void Head::forward(Stream& stream, Tensor x, const Target& target, Saved& saved) const {
  saved.normalized = norm_.forward(stream, x, View(), saved.norm).out;
  saved.x = std::move(x);
  saved.d_logits = projection_.forward(stream, saved.normalized);
  cross_entropy(stream, saved.d_logits, target, /*with_gradient=*/true);
}

Tensor Head::backward_input(Stream& stream, Saved& saved) const {
  const Tensor d_normalized = projection_.backward_input(stream, saved.d_logits);
  Tensor d_x = norm_.backward(stream, saved.x, d_normalized, View(), saved.norm);
  saved.x.reset();
  saved.norm = {};
  return d_x;
}

void Head::backward_weight(Stream& stream, Saved saved) const {
  projection_.backward_weight(stream, saved.normalized, saved.d_logits);
}

void Head::evaluate(Stream& stream, Tensor x, const Target& target) const {
  Norm::Saved statistics;
  const Tensor normalized = norm_.forward(stream, x, View(), statistics).out;
  const Tensor logits = projection_.forward(stream, normalized);
  cross_entropy(stream, logits, target, /*with_gradient=*/false);
}

void Head::cross_entropy(Stream& stream, View logits, const Target& target,
                         bool with_gradient) const {
  const auto column = [&] {
    return backend_.allocate(stream, {logits.rows, 1}, kernels::accumulator_of(logits.dtype),
                             Category::activations);
  };
  const Tensor maximum = column(), sum_exp = column(), target_logit = column();
  backend_.run(stream, kernels::CrossEntropyStatistics{.logits = logits,
                                                       .targets = target.tokens,
                                                       .maximum = maximum,
                                                       .sum_exp = sum_exp,
                                                       .target_logit = target_logit});
  backend_.run(stream, kernels::CrossEntropy{.logits = logits,
                                             .targets = target.tokens,
                                             .maximum = maximum,
                                             .sum_exp = sum_exp,
                                             .target_logit = target_logit,
                                             .loss = target.loss,
                                             .gradient_scale = target.gradient_scale,
                                             .with_gradient = with_gradient});
}

}  // namespace trireme::runtime
