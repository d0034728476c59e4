#include "models/split.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include "models/parameters.h"
#include "models/work.h"

namespace trireme::models {
namespace {

// How good a split is: the costliest stage, then how uneven they are.
struct Quality {
  double largest = std::numeric_limits<double>::infinity();
  double squares = std::numeric_limits<double>::infinity();

  bool operator<(const Quality& other) const {
    constexpr double kRounding = 1 + 1e-12;
    if (largest * kRounding < other.largest) return true;
    return largest <= other.largest * kRounding && squares * kRounding < other.squares;
  }
};

std::vector<LayerRange> ranges_of(const std::vector<int>& counts) {
  std::vector<LayerRange> ranges;
  int first = 0;
  for (const int count : counts) {
    ranges.push_back({.first = first, .count = count});
    first += count;
  }
  ranges.front().embedding = true;
  ranges.back().head = true;
  return ranges;
}

}  // namespace

UnitCosts unit_flops(const Shape& shape, std::int64_t sequence_length) {
  constexpr double kForwardShare = 1.0 / 3;  // of a training step
  const double head = 2.0 * static_cast<double>(shape.vocab_size * shape.hidden_size);
  const double all = training_flops(shape, sequence_length).causal * kForwardShare;
  return {.embedding = 0,
          .layer = (all - head) / static_cast<double>(shape.num_hidden_layers),
          .head = head};
}

std::vector<LayerRange> split_layers(const Shape& shape, int stages, const UnitCosts& costs) {
  const auto layers = static_cast<int>(shape.num_hidden_layers);
  if (stages > layers) {
    throw ModelError(std::to_string(stages) + " stages for " + std::to_string(layers) +
                     " layers: there must be at least one layer for each");
  }
  const auto at = [&](int stage, int layer) {
    return static_cast<std::size_t>(stage * (layers + 1) + layer);
  };
  // best[s][l]: the first l layers on s stages; last[s][l]: how many of them the last one has.
  const auto cells = static_cast<std::size_t>((stages + 1) * (layers + 1));
  std::vector<Quality> best(cells);
  std::vector<int> last(cells, 0);
  best[at(0, 0)] = {0, 0};
  for (int stage = 1; stage <= stages; ++stage) {
    for (int layer = stage; layer <= layers; ++layer) {
      for (int count = 1; count <= layer - stage + 1; ++count) {
        const Quality& before = best[at(stage - 1, layer - count)];
        const double cost =
            costs.of({.count = count, .embedding = stage == 1, .head = stage == stages});
        const Quality now{std::max(before.largest, cost), before.squares + cost * cost};
        if (now < best[at(stage, layer)]) {
          best[at(stage, layer)] = now;
          last[at(stage, layer)] = count;
        }
      }
    }
  }
  std::vector<int> counts;
  for (int stage = stages, layer = layers; stage > 0; --stage) {
    counts.push_back(last[at(stage, layer)]);
    layer -= counts.back();
  }
  std::reverse(counts.begin(), counts.end());
  return ranges_of(counts);
}

std::vector<LayerRange> layers_as_listed(const Shape& shape, const std::vector<int>& counts) {
  const int sum = std::accumulate(counts.begin(), counts.end(), 0);
  const bool negative = std::ranges::any_of(counts, [](int count) { return count < 0; });
  if (counts.empty() || negative || sum != shape.num_hidden_layers) {
    throw ModelError("layers per stage add up to " + std::to_string(sum) + ", the model has " +
                     std::to_string(shape.num_hidden_layers));
  }
  return ranges_of(counts);
}

std::vector<int> units_of(const Shape& shape, const LayerRange& layers) {
  std::vector<int> units;
  if (layers.embedding) units.push_back(0);
  for (int layer = layers.first; layer < layers.first + layers.count; ++layer) {
    units.push_back(layer + 1);
  }
  if (layers.head) units.push_back(unit_count(shape) - 1);
  return units;
}

}  // namespace trireme::models
