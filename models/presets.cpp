#include <algorithm>
#include <array>
#include <utility>

#include "models/shape.h"

namespace trireme::models {
namespace {

Shape gpt2(std::int64_t hidden, std::int64_t layers, std::int64_t heads) {
  return {.family = Family::gpt2,
          .hidden_size = hidden,
          .intermediate_size = 4 * hidden,
          .num_hidden_layers = layers,
          .num_attention_heads = heads,
          .num_key_value_heads = heads,
          .head_dim = hidden / heads,
          .vocab_size = 50257,
          .max_position_embeddings = 1024,
          .norm_eps = 1e-5,
          .tie_word_embeddings = true,
          .attention_bias = true};
}

// Llama 3.x: grouped queries, theta 500000, 128k positions through scaling.
Shape llama3(std::int64_t hidden, std::int64_t intermediate, std::int64_t layers,
             std::int64_t heads, double scaling_factor) {
  return {.family = Family::llama,
          .hidden_size = hidden,
          .intermediate_size = intermediate,
          .num_hidden_layers = layers,
          .num_attention_heads = heads,
          .num_key_value_heads = 8,
          .head_dim = hidden / heads,
          .vocab_size = 128256,
          .max_position_embeddings = 131072,
          .rope_theta = 500000.0,
          .rope_scaling = RopeScaling{.factor = scaling_factor},
          .norm_eps = 1e-5};
}

Shape tied(Shape shape) {
  shape.tie_word_embeddings = true;
  return shape;
}

// Small enough for a laptop's CPU, for bytes.
Shape llama_tiny() {
  return {.family = Family::llama,
          .hidden_size = 256,
          .intermediate_size = 688,
          .num_hidden_layers = 8,
          .num_attention_heads = 8,
          .num_key_value_heads = 4,
          .head_dim = 32,
          .vocab_size = 257,
          .max_position_embeddings = 2048,
          .rope_theta = 10000.0,
          .norm_eps = 1e-5};
}

const std::array<std::pair<std::string_view, Shape>, 10>& presets() {
  static const std::array<std::pair<std::string_view, Shape>, 10> all{{
      {"gpt2-124m", gpt2(768, 12, 12)},
      {"gpt2-350m", gpt2(1024, 24, 16)},
      {"gpt2-774m", gpt2(1280, 36, 20)},
      {"gpt2-1.5b", gpt2(1600, 48, 25)},
      {"llama-tiny", llama_tiny()},
      {"llama3-1b", tied(llama3(2048, 8192, 16, 32, 32))},
      {"llama3-3b", tied(llama3(3072, 8192, 28, 24, 32))},
      {"llama3-8b", llama3(4096, 14336, 32, 32, 8)},
      {"llama3-70b", llama3(8192, 28672, 80, 64, 8)},
      {"llama3-405b", llama3(16384, 53248, 126, 128, 8)},
  }};
  return all;
}

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const auto& [name, shape] : presets()) names.emplace_back(name);
  return names;
}

Shape preset(std::string_view name) {
  for (const auto& [known, shape] : presets()) {
    if (known == name) return shape;
  }
  std::string known;
  for (const auto& each : preset_names()) known += (known.empty() ? "" : ", ") + each;
  throw ModelError("unknown preset \"" + std::string(name) + "\"; the presets are " + known);
}

}  // namespace trireme::models
