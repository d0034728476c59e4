#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>

#include "models/shape.h"

namespace trireme::models {
namespace {

// As the keys of a config file have it.
constexpr std::int64_t kMostUnits = std::int64_t{1} << 30;
constexpr std::int64_t kMostLayers = std::int64_t{1} << 16;

using nlohmann::json;

// Reads keys of one config.json; every complaint names the file and the key.
class ConfigFile {
 public:
  explicit ConfigFile(std::string path) : path_(std::move(path)) {
    std::ifstream file(path_);
    if (!file) throw ModelError(path_ + ": cannot be read");
    try {
      root_ = json::parse(file);
    } catch (const json::exception& error) {
      throw ModelError(path_ + ": not JSON: " + error.what());
    }
    if (!root_.is_object()) throw ModelError(path_ + ": not a JSON object");
  }

  const json* find(const std::string& key) const { return find_in(root_, key); }

  static const json* find_in(const json& object, const std::string& key) {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }

  std::int64_t integer(const std::string& key) const {
    const json* value = find(key);
    if (!value) fail(key, "is missing");
    return as_integer(*value, key);
  }

  std::int64_t integer(const std::string& key, std::int64_t otherwise) const {
    const json* value = find(key);
    return value ? as_integer(*value, key) : otherwise;
  }

  double number(const std::string& key, double otherwise) const {
    return number_in(root_, key, otherwise);
  }

  double number_in(const json& object, const std::string& key, double otherwise) const {
    const json* value = find_in(object, key);
    if (!value) return otherwise;
    if (!value->is_number()) fail(key, "is not a number: " + value->dump());
    return value->get<double>();
  }

  bool boolean(const std::string& key, bool otherwise) const {
    const json* value = find(key);
    if (!value) return otherwise;
    if (!value->is_boolean()) fail(key, "is neither true nor false: " + value->dump());
    return value->get<bool>();
  }

  std::string text(const json& object, const std::string& key, const std::string& otherwise) const {
    const json* value = find_in(object, key);
    if (!value) return otherwise;
    if (!value->is_string()) fail(key, "is not a text: " + value->dump());
    return value->get<std::string>();
  }

  const json& root() const { return root_; }

  [[noreturn]] void fail(const std::string& key, const std::string& what) const {
    throw ModelError(path_ + ": " + key + " " + what);
  }

 private:
  std::int64_t as_integer(const json& value, const std::string& key) const {
    if (!value.is_number_integer() || value.get<double>() < 0 || value.get<double>() > 1e15) {
      fail(key, "is not a whole number: " + value.dump());
    }
    return value.get<std::int64_t>();
  }

  std::string path_;
  json root_;
};

std::optional<RopeScaling> read_scaling(const ConfigFile& config, const json& rope) {
  if (!rope.is_object()) config.fail("rope_scaling", "is not an object: " + rope.dump());
  const std::string type = config.text(rope, "rope_type", config.text(rope, "type", "default"));
  if (type == "default") return std::nullopt;
  if (type != "llama3")
    config.fail("rope_type", "is \"" + type + "\"; built are default and llama3");
  if (!ConfigFile::find_in(rope, "factor"))
    config.fail("factor", "is missing from the rope scaling");
  return RopeScaling{.factor = config.number_in(rope, "factor", 8),
                     .low_frequency = config.number_in(rope, "low_freq_factor", 1),
                     .high_frequency = config.number_in(rope, "high_freq_factor", 4),
                     .original_positions = static_cast<std::int64_t>(
                         config.number_in(rope, "original_max_position_embeddings", 8192))};
}

// transformers 5 moved rope_theta and rope_scaling into rope_parameters; both are read.
void read_rope(const ConfigFile& config, Shape& shape) {
  shape.rope_theta = config.number("rope_theta", 10000.0);
  if (const json* scaling = config.find("rope_scaling")) {
    shape.rope_scaling = read_scaling(config, *scaling);
  }
  if (const json* rope = config.find("rope_parameters")) {
    shape.rope_theta = config.number_in(*rope, "rope_theta", shape.rope_theta);
    shape.rope_scaling = read_scaling(config, *rope);
  }
}

void check_scaling(const ConfigFile& config, const RopeScaling& scaling) {
  const auto is_positive = [](double value) { return std::isfinite(value) && value > 0; };
  if (!is_positive(scaling.factor)) config.fail("factor", "of the rope scaling must be above 0");
  if (!is_positive(scaling.low_frequency) || !is_positive(scaling.high_frequency) ||
      scaling.low_frequency >= scaling.high_frequency) {
    config.fail("low_freq_factor", "must be above 0 and below high_freq_factor");
  }
  if (scaling.original_positions < 1) {
    config.fail("original_max_position_embeddings", "must be at least 1");
  }
}

// What no model can have, whatever the layout.
void check_numbers(const ConfigFile& config, const Shape& shape) {
  const auto require = [&](const char* what, std::int64_t value, std::int64_t most) {
    if (value >= 1 && value <= most) return;
    config.fail(what, "must be 1 to " + std::to_string(most) + ", it is " + std::to_string(value));
  };
  require("the hidden size", shape.hidden_size, kMostUnits);
  require("the intermediate size", shape.intermediate_size, kMostUnits);
  require("the number of layers", shape.num_hidden_layers, kMostLayers);
  require("the number of attention heads", shape.num_attention_heads, kMostUnits);
  require("the number of key and value heads", shape.num_key_value_heads, kMostUnits);
  require("the size of a head", shape.head_dim, kMostUnits);
  require("vocab_size", shape.vocab_size, kMostUnits);
  const auto require_above_0 = [&](const char* what, double value) {
    if (std::isfinite(value) && value > 0) return;
    config.fail(what, "must be above 0, it is " + std::to_string(value));
  };
  require_above_0("the epsilon of the norms", shape.norm_eps);
  if (shape.family == Family::llama) require_above_0("rope_theta", shape.rope_theta);
  if (shape.rope_scaling) check_scaling(config, *shape.rope_scaling);
}

void refuse_sliding_window(const ConfigFile& config, const Shape& shape, const std::string& type) {
  const bool used = type == "mistral" || config.boolean("use_sliding_window", false);
  // A mistral that does not say has 4096; null means none.
  const bool silent = type == "mistral" && !config.root().contains("sliding_window");
  const std::int64_t window = silent ? 4096 : config.integer("sliding_window", 0);
  if (used && window > 0 && window < shape.max_position_embeddings) {
    config.fail("sliding_window", "of " + std::to_string(window) +
                                      " is shorter than max_position_embeddings; only full causal "
                                      "attention is built");
  }
}

Shape read_llama(const ConfigFile& config, const std::string& type) {
  Shape shape{.family = Family::llama,
              .hidden_size = config.integer("hidden_size"),
              .intermediate_size = config.integer("intermediate_size"),
              .num_hidden_layers = config.integer("num_hidden_layers"),
              .num_attention_heads = config.integer("num_attention_heads"),
              .vocab_size = config.integer("vocab_size"),
              .max_position_embeddings = config.integer("max_position_embeddings", 0),
              .norm_eps = config.number("rms_norm_eps", 1e-6),
              .tie_word_embeddings = config.boolean("tie_word_embeddings", false),
              .attention_bias = type == "qwen2" || config.boolean("attention_bias", false),
              .qk_norm = type == "qwen3"};
  if (shape.num_attention_heads == 0) config.fail("num_attention_heads", "is 0");
  shape.num_key_value_heads = config.integer("num_key_value_heads", shape.num_attention_heads);
  shape.head_dim = config.integer("head_dim", shape.hidden_size / shape.num_attention_heads);
  read_rope(config, shape);
  refuse_sliding_window(config, shape, type);
  if (type != "qwen2" && shape.attention_bias) {
    config.fail("attention_bias", "is true: a " + type + " with a bias on o_proj is not built");
  }
  if (config.boolean("mlp_bias", false)) config.fail("mlp_bias", "is true, which is not built");
  const std::string activation = config.text(config.root(), "hidden_act", "silu");
  if (activation != "silu") config.fail("hidden_act", "is \"" + activation + "\"; built is silu");
  return shape;
}

Shape read_gpt2(const ConfigFile& config) {
  const std::int64_t hidden = config.integer("n_embd");
  const std::int64_t heads = config.integer("n_head");
  const std::string activation = config.text(config.root(), "activation_function", "gelu_new");
  if (activation != "gelu_new" && activation != "gelu_pytorch_tanh") {
    config.fail("activation_function", "is \"" + activation + "\"; built is gelu_new");
  }
  if (heads == 0) config.fail("n_head", "is 0");
  if (config.boolean("scale_attn_by_inverse_layer_idx", false)) {
    config.fail("scale_attn_by_inverse_layer_idx", "is true, which is not built");
  }
  if (!config.boolean("scale_attn_weights", true)) {
    config.fail("scale_attn_weights", "is false, which is not built");
  }
  return {.family = Family::gpt2,
          .hidden_size = hidden,
          .intermediate_size = config.integer("n_inner", 4 * hidden),
          .num_hidden_layers = config.integer("n_layer"),
          .num_attention_heads = heads,
          .num_key_value_heads = heads,
          .head_dim = hidden / heads,
          .vocab_size = config.integer("vocab_size"),
          .max_position_embeddings = config.integer("n_positions"),
          .norm_eps = config.number("layer_norm_epsilon", 1e-5),
          .tie_word_embeddings = config.boolean("tie_word_embeddings", true),
          .attention_bias = true};
}

}  // namespace

Shape read_hugging_face(const std::string& path) {
  const bool folder = std::filesystem::is_directory(path);
  const ConfigFile config(folder ? (std::filesystem::path(path) / "config.json").string() : path);
  const std::string type = config.text(config.root(), "model_type", "");
  const auto checked = [&](const Shape& shape) {
    check_numbers(config, shape);
    return shape;
  };
  if (type == "llama" || type == "mistral" || type == "qwen2" || type == "qwen3") {
    return checked(read_llama(config, type));
  }
  if (type == "gpt2") return checked(read_gpt2(config));
  config.fail("model_type", "is \"" + type + "\"; built are llama, mistral, qwen2, qwen3 and gpt2");
}

std::vector<double> rope_frequencies(const Shape& shape) {
  std::vector<double> frequencies;
  for (std::int64_t pair = 0; pair < shape.head_dim / 2; ++pair) {
    double frequency = std::pow(
        shape.rope_theta, -2.0 * static_cast<double>(pair) / static_cast<double>(shape.head_dim));
    if (const auto& scaling = shape.rope_scaling) {
      const double wavelength = 2 * std::numbers::pi / frequency;
      const auto original = static_cast<double>(scaling->original_positions);
      const double blend = (original / wavelength - scaling->low_frequency) /
                           (scaling->high_frequency - scaling->low_frequency);
      if (wavelength > original / scaling->low_frequency) {
        frequency /= scaling->factor;
      } else if (wavelength > original / scaling->high_frequency) {
        frequency = (1 - blend) * frequency / scaling->factor + blend * frequency;
      }
    }
    frequencies.push_back(frequency);
  }
  return frequencies;
}

}  // namespace trireme::models
