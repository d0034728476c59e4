#include "runtime/model/block.h"

#include <utility>

namespace trireme::runtime {
namespace {

using kernels::Stream;
using kernels::Tensor;
using kernels::View;

std::string prefix(int layer) { return "model.layers." + std::to_string(layer); }

}  // namespace

Block::Block(const LayerContext& context, int layer, Recompute recompute)
    : backend_(context.backend),
      first_norm_(context, prefix(layer) + ".input_layernorm"),
      second_norm_(context, prefix(layer) + ".post_attention_layernorm"),
      attention_(context, prefix(layer) + ".self_attn"),
      feed_forward_(context, prefix(layer) + ".mlp"),
      recompute_(recompute) {}

Tensor Block::forward(Stream& stream, Tensor x, Saved& saved) const {
  auto first = first_norm_.forward(stream, x, View(), saved.first_norm);
  const Tensor mixed = attention_.forward(stream, std::move(first.out), saved.attention);
  auto second = second_norm_.forward(stream, mixed, x, saved.second_norm);
  saved.x = std::move(x);
  saved.middle = std::move(second.sum);
  Tensor out = feed_forward_.forward(stream, std::move(second.out), saved.feed_forward);
  backend_.run(stream, kernels::Add{.a = out, .b = saved.middle, .out = out});
  saved.missing = Recompute::none;
  if (recompute_ == Recompute::full) drop(saved);
  if (recompute_ == Recompute::selective) {
    SelfAttention::drop(saved.attention);
    FeedForward::drop(saved.feed_forward);
    saved.missing = Recompute::selective;
  }
  return out;
}

void Block::drop(Saved& saved) {
  Tensor x = std::move(saved.x);
  saved = {};
  saved.x = std::move(x);
  saved.missing = Recompute::full;
}

void Block::restore(Stream& stream, Saved& saved) const {
  const Recompute missing = std::exchange(saved.missing, Recompute::none);
  if (missing == Recompute::none) return;
  auto first = first_norm_.forward(stream, saved.x, View(), saved.first_norm);
  if (missing == Recompute::selective) {
    attention_.restore(stream, std::move(first.out), saved.attention);
    auto second = second_norm_.forward(stream, saved.middle, View(), saved.second_norm);
    feed_forward_.restore(stream, std::move(second.out), saved.feed_forward);
    return;
  }
  const Tensor mixed = attention_.forward(stream, std::move(first.out), saved.attention);
  auto second = second_norm_.forward(stream, mixed, saved.x, saved.second_norm);
  saved.middle = std::move(second.sum);
  feed_forward_.begin(stream, std::move(second.out), saved.feed_forward);
}

Tensor Block::backward_input(Stream& stream, Tensor d_out, Saved& saved) const {
  restore(stream, saved);
  const Tensor d_second =
      feed_forward_.backward_input(stream, std::move(d_out), saved.feed_forward);
  Tensor d_middle = second_norm_.backward(stream, saved.middle, d_second,
                                          saved.feed_forward.pair.d_out, saved.second_norm);
  const Tensor d_first = attention_.backward_input(stream, std::move(d_middle), saved.attention);
  Tensor d_x =
      first_norm_.backward(stream, saved.x, d_first, saved.attention.pair.d_out, saved.first_norm);
  saved.x.reset();
  saved.middle.reset();
  saved.first_norm = {};
  saved.second_norm = {};
  return d_x;
}

void Block::backward_weight(Stream& stream, Saved saved) const {
  const LinearPair &first = attention_.pair(), &second = feed_forward_.pair();
  auto second_inputs = second.begin_weight(stream, saved.feed_forward.pair);
  auto first_inputs = first.begin_weight(stream, saved.attention.pair);
  second.backward_weight(stream, std::move(saved.feed_forward.pair), std::move(second_inputs));
  first.backward_weight(stream, std::move(saved.attention.pair), std::move(first_inputs));
}

Tensor Block::backward(Stream& stream, Tensor d_out, Saved saved) const {
  restore(stream, saved);
  const Tensor d_second = feed_forward_.backward(stream, std::move(d_out), saved.feed_forward);
  Tensor d_middle = second_norm_.backward(stream, saved.middle, d_second,
                                          saved.feed_forward.pair.d_out, saved.second_norm);
  saved.feed_forward = {};
  const Tensor d_first = attention_.backward(stream, std::move(d_middle), saved.attention);
  return first_norm_.backward(stream, saved.x, d_first, saved.attention.pair.d_out,
                              saved.first_norm);
}

}  // namespace trireme::runtime
