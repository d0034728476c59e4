#include "runtime/model/block.h"

#include <utility>

namespace trireme::runtime {
namespace {

using kernels::Stream;
using kernels::Tensor;
using kernels::View;

std::string prefix(int layer) { return "model.layers." + std::to_string(layer); }

}  // namespace

Block::Block(const LayerContext& context, int layer)
    : backend_(context.backend),
      first_norm_(context, prefix(layer) + ".input_layernorm"),
      second_norm_(context, prefix(layer) + ".post_attention_layernorm"),
      attention_(context, prefix(layer) + ".self_attn"),
      feed_forward_(context, prefix(layer) + ".mlp") {}

Tensor Block::forward(Stream& stream, Tensor x, Saved& saved) const {
  auto first = first_norm_.forward(stream, x, View(), saved.first_norm);
  const Tensor mixed = attention_.forward(stream, std::move(first.out), saved.attention);
  auto second = second_norm_.forward(stream, mixed, x, saved.second_norm);
  saved.x = std::move(x);
  saved.middle = std::move(second.sum);
  Tensor out = feed_forward_.forward(stream, std::move(second.out), saved.feed_forward);
  backend_.run(stream, kernels::Add{.a = out, .b = saved.middle, .out = out});
  return out;
}

Tensor Block::backward_input(Stream& stream, Tensor d_out, Saved& saved) const {
  const Tensor d_second =
      feed_forward_.backward_input(stream, std::move(d_out), saved.feed_forward);
  Tensor d_middle = second_norm_.backward(stream, saved.middle, d_second, saved.feed_forward.d_out,
                                          saved.second_norm);
  const Tensor d_first = attention_.backward_input(stream, std::move(d_middle), saved.attention);
  Tensor d_x =
      first_norm_.backward(stream, saved.x, d_first, saved.attention.d_out, saved.first_norm);
  saved.x.reset();
  saved.middle.reset();
  saved.first_norm = {};
  saved.second_norm = {};
  return d_x;
}

void Block::backward_weight(Stream& stream, Saved saved) const {
  feed_forward_.backward_weight(stream, std::move(saved.feed_forward));
  attention_.backward_weight(stream, std::move(saved.attention));
}

}  // namespace trireme::runtime
