#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/split.h"
#include "runtime/model/block.h"
#include "runtime/model/vocabulary.h"

namespace trireme::runtime {

// One micro-batch as a stage sees it; its memory must stay until the micro-batch is through.
struct MicroBatch {
  kernels::View tokens;  // (tokens, 1) of int32, for the embedding
  Target target;         // for the head
};

// Told about a unit: before its parameters are first read, or when its gradients are complete.
using UnitCallback = std::function<void(int unit)>;

// A part of the model that runs on one rank. Passes of any number of micro-batches may be
// interleaved: what they save between passes belongs to the caller.
class Stage {
 public:
  struct Saved {
    std::vector<Block::Saved> blocks;
    Head::Saved head;
    kernels::View tokens;
    kernels::Tensor d_embedding;
  };

  // `recompute` is for each layer of the stage; none for those beyond its end.
  Stage(const LayerContext& context, models::LayerRange layers,
        const std::vector<Recompute>& recompute = {});

  // `x` is what the stage below returned, nothing for the embedding. Returns what the stage above
  // is given, nothing after the head. Calls `before_unit` before reading a unit's parameters.
  kernels::Tensor forward(kernels::Stream& stream, kernels::Tensor x, const MicroBatch& batch,
                          Saved& saved, const UnitCallback& before_unit) const;

  // Between forward and backward_input: frees all that layers can compute again from their inputs,
  // whatever they keep otherwise, and computes it again.
  static void drop(Saved& saved);
  void restore(kernels::Stream& stream, Saved& saved) const;

  // `d_out` is what the stage above returned, nothing for the head. Returns the gradient of x,
  // nothing for the embedding.
  kernels::Tensor backward_input(kernels::Stream& stream, kernels::Tensor d_out,
                                 Saved& saved) const;

  // Any time after backward_input. Calls `after_unit` when a unit's gradients are complete, as far
  // as this micro-batch goes.
  void backward_weight(kernels::Stream& stream, Saved saved, const UnitCallback& after_unit) const;

  // Both halves, unit by unit, so that a unit's gradients are complete as early as they can be.
  kernels::Tensor backward(kernels::Stream& stream, kernels::Tensor d_out, Saved saved,
                           const UnitCallback& after_unit) const;

  // The forward pass with nothing saved.
  kernels::Tensor evaluate(kernels::Stream& stream, kernels::Tensor x, const MicroBatch& batch,
                           const UnitCallback& before_unit) const;

 private:
  int unit_of(std::size_t block) const { return layers_.first + static_cast<int>(block) + 1; }
  kernels::Range range_of(std::size_t block) const {
    return {backend_, "layer " + std::to_string(layers_.first + static_cast<int>(block))};
  }

  kernels::Backend& backend_;
  models::LayerRange layers_;
  int head_unit_;
  std::optional<TokenEmbedding> embedding_;
  std::vector<Block> blocks_;
  std::optional<Head> head_;
};

}  // namespace trireme::runtime
