#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace trireme::models {

// A model description that cannot be read or that describes nothing we build.
struct ModelError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// llama: RMSNorm, rotary positions, grouped-query attention, SwiGLU.
// gpt2: LayerNorm, learned positions, GELU, biases everywhere, tied embeddings.
enum class Family { llama, gpt2 };

// Stretches rotary positions for long contexts, as Llama 3.1 does. Frequencies with a wavelength
// above original_positions / low_frequency are divided by factor, those below
// original_positions / high_frequency are kept, those between are blended.
struct RopeScaling {
  double factor = 8;
  double low_frequency = 1;
  double high_frequency = 4;
  std::int64_t original_positions = 8192;
};

// What a decoder-only transformer is, in the names of Hugging Face's config.json.
struct Shape {
  Family family = Family::llama;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t vocab_size = 0;
  std::int64_t max_position_embeddings = 0;  // 0: no limit, for rotary positions only
  double rope_theta = 10000.0;
  std::optional<RopeScaling> rope_scaling = std::nullopt;
  double norm_eps = 1e-5;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // on q, k and v; gpt2 has biases everywhere
  bool qk_norm = false;         // RMSNorm of every head of q and k, before their rotation

  std::int64_t query_columns() const { return num_attention_heads * head_dim; }
  std::int64_t key_columns() const { return num_key_value_heads * head_dim; }
};

// Every preset's name: "gpt2-124m", "llama3-8b", ...
std::vector<std::string> preset_names();

// Throws ModelError, naming the presets, if there is none of this name.
Shape preset(std::string_view name);

// Reads a Hugging Face config.json (the file, or the folder that holds it) of a llama, mistral,
// qwen2, qwen3 or gpt2 model. Throws ModelError naming the file and the key if a key is missing, is
// of the wrong type, or asks for something that is not built.
Shape read_hugging_face(const std::string& path);

// Inverse rotary frequencies, one per pair of a head: positions times these are angles.
std::vector<double> rope_frequencies(const Shape& shape);

}  // namespace trireme::models
