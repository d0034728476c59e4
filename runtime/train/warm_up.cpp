#include "runtime/train/warm_up.h"

#include <algorithm>
#include <span>
#include <utility>

namespace trireme::runtime {

using kernels::Category;
using kernels::Dtype;
using kernels::Tensor;

void warm_up(kernels::Backend& backend, kernels::Stream& compute, const RankModel& model,
             const std::map<int, models::LayerRange>& stages, const PassShape& shape, Ways ways) {
  const auto zeros = [&](kernels::Shape of, Dtype dtype) {
    Tensor tensor = backend.allocate(compute, of, dtype, Category::activations);
    backend.run(compute, kernels::Fill{.out = tensor, .value = 0});
    return tensor;
  };
  const Tensor tokens =
      backend.allocate(compute, {shape.tokens, 1}, Dtype::i32, Category::activations);
  const auto host = backend.host_memory(tokens.view().bytes());
  const std::span<std::byte> ids(host.get(), tokens.view().bytes());
  std::ranges::fill(ids, std::byte{0});
  backend.upload(compute, ids, tokens);
  const Tensor loss = zeros({1, 1}, Dtype::f64);
  const MicroBatch batch{.tokens = tokens, .target = {.tokens = tokens, .loss = loss}};
  const auto nobody = [](int) {};
  backend.try_ways(ways == Ways::the_fastest ? kernels::Backend::kUsualWays : 0);
  for (const auto& [number, layers] : stages) {
    const Stage& stage = model.stage(number);
    Stage::Saved saved;
    stage.forward(compute, layers.embedding ? Tensor() : zeros(shape.activation, shape.dtype),
                  batch, saved, nobody);
    stage.backward_input(compute, layers.head ? Tensor() : zeros(shape.activation, shape.dtype),
                         saved);
    stage.backward_weight(compute, std::move(saved), nobody);
  }
  backend.try_ways(0);
  compute.synchronize();
}

}  // namespace trireme::runtime
