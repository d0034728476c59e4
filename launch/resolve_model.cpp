#include "launch/resolve_model.h"

#include "launch/config_keys.h"
#include "launch/numbers_text.h"

namespace trireme::launch {
namespace {

using models::Family;
using models::Shape;

Shape starting_point(LoadedConfig& loaded) {
  const ModelSection& model = loaded.config.model;
  if (!model.preset.empty() && !model.hf_config.empty()) {
    loaded.reject("model.hf_config", "cannot be given together with model.preset");
  }
  try {
    if (!model.preset.empty()) return models::preset(model.preset);
  } catch (const models::ModelError& error) {
    loaded.reject("model.preset", error.what());
  }
  try {
    if (!model.hf_config.empty()) return models::read_hugging_face(model.hf_config);
  } catch (const models::ModelError& error) {
    loaded.reject("model.hf_config", error.what());
  }
  Shape shape;
  if (model.model_type == Family::gpt2) {
    shape.family = Family::gpt2;
    shape.tie_word_embeddings = true;
    shape.attention_bias = true;
  }
  return shape;
}

template <class Value>
void overlay(Value& value, const std::optional<Value>& given) {
  if (given) value = *given;
}

void overlay(Shape& shape, const ModelSection& model) {
  overlay(shape.family, model.model_type);
  overlay(shape.hidden_size, model.hidden_size);
  overlay(shape.intermediate_size, model.intermediate_size);
  overlay(shape.num_hidden_layers, model.num_hidden_layers);
  overlay(shape.num_attention_heads, model.num_attention_heads);
  overlay(shape.num_key_value_heads, model.num_key_value_heads);
  overlay(shape.vocab_size, model.vocab_size);
  overlay(shape.max_position_embeddings, model.max_position_embeddings);
  overlay(shape.rope_theta, model.rope_theta);
  overlay(shape.norm_eps, model.rms_norm_eps);
  overlay(shape.tie_word_embeddings, model.tie_word_embeddings);
  overlay(shape.attention_bias, model.attention_bias);
  overlay(shape.qk_norm, model.qk_norm);
  if (model.rope_scaling) shape.rope_scaling = model.rope_scaling;
  // gpt2 has no grouped queries to override.
  const bool follows = shape.family == Family::gpt2 && !model.num_key_value_heads;
  if (follows || shape.num_key_value_heads == 0)
    shape.num_key_value_heads = shape.num_attention_heads;
  if (model.head_dim) {
    shape.head_dim = *model.head_dim;
  } else if (shape.num_attention_heads > 0 &&
             (shape.head_dim == 0 || model.hidden_size || model.num_attention_heads)) {
    shape.head_dim = shape.hidden_size / shape.num_attention_heads;
  }
  if (shape.family == Family::gpt2 && shape.intermediate_size == 0) {
    shape.intermediate_size = 4 * shape.hidden_size;
  }
}

void check_sizes(LoadedConfig& loaded, const Shape& shape) {
  const auto require = [&](std::int64_t size, const char* key) {
    if (size < 1 && !loaded.rejected(key)) {
      loaded.reject(key, "is required: give it, or a preset (" + models::preset_names().front() +
                             ", ...), or hf_config");
    }
    return size >= 1;
  };
  const bool has_hidden = require(shape.hidden_size, "model.hidden_size");
  require(shape.intermediate_size, "model.intermediate_size");
  require(shape.num_hidden_layers, "model.num_hidden_layers");
  const bool has_heads = require(shape.num_attention_heads, "model.num_attention_heads");
  require(shape.vocab_size, "model.vocab_size");
  if (!has_heads) return;
  const std::int64_t heads = shape.num_attention_heads;
  const bool are_sound =
      loaded.sound({"model.hidden_size", "model.num_attention_heads", "model.head_dim"});
  if (are_sound && has_hidden && !loaded.config.model.head_dim && shape.hidden_size % heads != 0) {
    loaded.reject(
        "model.num_attention_heads",
        "must divide hidden_size = " + std::to_string(shape.hidden_size) +
            " unless head_dim is given: " + listed(nearest(divisors_of(shape.hidden_size), heads)));
  }
  if (loaded.sound({"model.num_attention_heads", "model.num_key_value_heads"}) &&
      heads % shape.num_key_value_heads != 0) {
    loaded.reject("model.num_key_value_heads",
                  "must divide num_attention_heads = " + std::to_string(heads) + ": " +
                      listed(nearest(divisors_of(heads), shape.num_key_value_heads)));
  }
  // Where heads do not divide the hidden size, it is no size of theirs.
  const bool has_size = are_sound && !loaded.rejected("model.num_attention_heads");
  if (has_size && has_hidden && shape.family == Family::llama && shape.head_dim % 2 != 0) {
    loaded.reject("model.head_dim",
                  "must be even: rotary positions turn pairs of channels; it is " +
                      std::to_string(shape.head_dim));
  }
}

void check_family(LoadedConfig& loaded, const Shape& shape) {
  const std::int64_t sequence = loaded.config.train.seq_length;
  if (shape.family == Family::gpt2) {
    if (shape.max_position_embeddings < 1 && !loaded.rejected("model.max_position_embeddings")) {
      loaded.reject("model.max_position_embeddings", "is required for gpt2's learned positions");
    }
    if (shape.qk_norm) loaded.reject("model.qk_norm", "must be false for gpt2");
    if (!shape.attention_bias) loaded.reject("model.attention_bias", "must be true for gpt2");
    const bool has_heads = !loaded.rejected("model.num_attention_heads") &&
                           !loaded.rejected("model.num_key_value_heads");
    if (has_heads && shape.num_key_value_heads != shape.num_attention_heads) {
      loaded.reject("model.num_key_value_heads",
                    "must be num_attention_heads = " + std::to_string(shape.num_attention_heads) +
                        " for gpt2");
    }
    if (shape.rope_scaling)
      loaded.reject("model.rope_scaling", "is not for gpt2: its positions are learned");
  }
  const bool has_positions = shape.max_position_embeddings > 0 &&
                             loaded.sound({"model.max_position_embeddings", "train.seq_length"});
  if (has_positions && sequence > shape.max_position_embeddings) {
    loaded.reject("train.seq_length", "must be at most model.max_position_embeddings = " +
                                          std::to_string(shape.max_position_embeddings));
  }
}

void write_back(ModelSection& model, const Shape& shape) {
  model.preset.clear();
  model.hf_config.clear();
  model.model_type = shape.family;
  model.hidden_size = shape.hidden_size;
  model.intermediate_size = shape.intermediate_size;
  model.num_hidden_layers = shape.num_hidden_layers;
  model.num_attention_heads = shape.num_attention_heads;
  model.num_key_value_heads = shape.num_key_value_heads;
  model.head_dim = shape.head_dim;
  model.vocab_size = shape.vocab_size;
  model.max_position_embeddings = shape.max_position_embeddings;
  model.rope_theta = shape.rope_theta;
  model.rope_scaling = shape.rope_scaling;
  model.rms_norm_eps = shape.norm_eps;
  model.tie_word_embeddings = shape.tie_word_embeddings;
  model.attention_bias = shape.attention_bias;
  model.qk_norm = shape.qk_norm;
}

}  // namespace

std::string model_toml(const models::Shape& shape) {
  Config config;
  write_back(config.model, shape);
  std::string text = "[model]\n";
  for (const Key& key : config_keys()) {
    const std::string value = key.write(config);
    if (key.section() == "model" && !value.empty()) text += key.leaf() + " = " + value + "\n";
  }
  return text;
}

models::Shape resolve_model(LoadedConfig& loaded) {
  Shape shape = starting_point(loaded);
  overlay(shape, loaded.config.model);
  if (loaded.rejected("model.preset") || loaded.rejected("model.hf_config")) return shape;
  const std::size_t problems = loaded.problems.size();
  check_sizes(loaded, shape);
  check_family(loaded, shape);
  if (loaded.problems.size() == problems) write_back(loaded.config.model, shape);
  return shape;
}

}  // namespace trireme::launch
