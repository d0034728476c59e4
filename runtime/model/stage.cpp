#include "runtime/model/stage.h"

#include <utility>

namespace trireme::runtime {

using kernels::Stream;
using kernels::Tensor;
using kernels::View;

Stage::Stage(const LayerContext& context, models::LayerRange layers,
             const std::vector<Recompute>& recompute)
    : backend_(context.backend),
      layers_(layers),
      head_unit_(models::unit_count(context.shape) - 1) {
  if (layers.embedding) embedding_.emplace(context);
  for (int i = 0; i < layers.count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    blocks_.emplace_back(context, layers.first + i,
                         at < recompute.size() ? recompute[at] : Recompute::none);
  }
  if (layers.head) head_.emplace(context);
}

Tensor Stage::forward(Stream& stream, Tensor x, const MicroBatch& batch, Saved& saved,
                      const UnitCallback& before_unit) const {
  if (embedding_) {
    before_unit(0);
    x = embedding_->forward(stream, batch.tokens);
    saved.tokens = batch.tokens;
  }
  saved.blocks.resize(blocks_.size());
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    before_unit(unit_of(i));
    const kernels::Range range = range_of(i);
    x = blocks_[i].forward(stream, std::move(x), saved.blocks[i]);
  }
  if (!head_) return x;
  before_unit(head_unit_);
  head_->forward(stream, std::move(x), batch.target, saved.head);
  return {};
}

void Stage::drop(Saved& saved) {
  for (Block::Saved& block : saved.blocks) Block::drop(block);
}

void Stage::restore(Stream& stream, Saved& saved) const {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const kernels::Range range = range_of(i);
    blocks_[i].restore(stream, saved.blocks[i]);
  }
}

Tensor Stage::backward_input(Stream& stream, Tensor d_out, Saved& saved) const {
  if (head_) d_out = head_->backward_input(stream, saved.head);
  for (std::size_t i = blocks_.size(); i-- > 0;) {
    const kernels::Range range = range_of(i);
    d_out = blocks_[i].backward_input(stream, std::move(d_out), saved.blocks[i]);
  }
  if (!embedding_) return d_out;
  saved.d_embedding = std::move(d_out);
  return {};
}

void Stage::backward_weight(Stream& stream, Saved saved, const UnitCallback& after_unit) const {
  if (head_) {
    head_->backward_weight(stream, std::move(saved.head));
    after_unit(head_unit_);
  }
  for (std::size_t i = blocks_.size(); i-- > 0;) {
    const kernels::Range range = range_of(i);
    blocks_[i].backward_weight(stream, std::move(saved.blocks[i]));
    after_unit(unit_of(i));
  }
  if (embedding_) {
    embedding_->backward_weight(stream, saved.tokens, saved.d_embedding);
    after_unit(0);
  }
}

Tensor Stage::backward(Stream& stream, Tensor d_out, Saved saved,
                       const UnitCallback& after_unit) const {
  if (head_) {
    d_out = head_->backward(stream, std::move(saved.head));
    after_unit(head_unit_);
  }
  for (std::size_t i = blocks_.size(); i-- > 0;) {
    const kernels::Range range = range_of(i);
    d_out = blocks_[i].backward(stream, std::move(d_out), std::move(saved.blocks[i]));
    after_unit(unit_of(i));
  }
  if (!embedding_) return d_out;
  embedding_->backward_weight(stream, saved.tokens, d_out);
  after_unit(0);
  return {};
}

Tensor Stage::evaluate(Stream& stream, Tensor x, const MicroBatch& batch,
                       const UnitCallback& before_unit) const {
  if (embedding_) {
    before_unit(0);
    x = embedding_->forward(stream, batch.tokens);
  }
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    before_unit(unit_of(i));
    const kernels::Range range = range_of(i);
    Block::Saved saved;
    x = blocks_[i].forward(stream, std::move(x), saved);
  }
  if (!head_) return x;
  before_unit(head_unit_);
  head_->evaluate(stream, std::move(x), batch.target);
  return {};
}

}  // namespace trireme::runtime
