#include "runtime/model/rank_model.h"

#include <algorithm>
#include <utility>

namespace trireme::runtime {

RankModel::RankModel(kernels::Backend& backend, kernels::Stream& stream,
                     const ParameterBuffers& buffers, Options options)
    : options_(std::move(options)),
      ranks_(options_.tensor ? TensorParallel(backend, *options_.tensor, options_.sequence_parallel,
                                              backend.full_speed_rows())
                             : TensorParallel(backend)) {
  if (options_.shape.family == models::Family::llama) {
    rope_.emplace(backend, stream, options_.shape, options_.sequence, buffers.options().dtype);
  }
  const LayerContext context{.backend = backend,
                             .buffers = buffers,
                             .shape = options_.shape,
                             .ranks = ranks_,
                             .rope = rope_ ? &*rope_ : nullptr,
                             .sequence = options_.sequence};
  for (const auto& [number, layers] : options_.stages) {
    const auto count = static_cast<std::size_t>(
        std::min<std::int64_t>(layers.count, options_.recompute_layers.value_or(layers.count)));
    stages_.try_emplace(number, context, layers, std::vector<Recompute>(count, options_.recompute));
  }
}

bool RankModel::has_end() const {
  return std::ranges::any_of(options_.stages, [](const auto& stage) {
    return stage.second.embedding || stage.second.head;
  });
}

}  // namespace trireme::runtime
