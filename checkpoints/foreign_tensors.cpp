// How Hugging Face names and shapes our parameters.
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "checkpoints/hugging_face.h"
#include "models/parameters.h"

namespace trireme::checkpoints {
namespace {

using models::Family;
using models::Parameter;
using models::Shape;
using Json = nlohmann::ordered_json;

struct Renaming {
  const char* ours;
  const char* theirs;
};

// GPT-2 inside a layer.
constexpr std::array kGpt2Names = {
    Renaming{"input_layernorm.", "ln_1."},         Renaming{"post_attention_layernorm.", "ln_2."},
    Renaming{"self_attn.q_proj.", "attn.c_attn."}, Renaming{"self_attn.k_proj.", "attn.c_attn."},
    Renaming{"self_attn.v_proj.", "attn.c_attn."}, Renaming{"self_attn.o_proj.", "attn.c_proj."},
    Renaming{"mlp.up_proj.", "mlp.c_fc."},         Renaming{"mlp.down_proj.", "mlp.c_proj."}};

std::string gpt2_name(const std::string& ours) {
  const std::string layers = "model.layers.";
  if (!ours.starts_with(layers)) {
    if (ours == models::kEmbeddingTable) return "transformer.wte.weight";
    if (ours.starts_with("model.embed_positions.")) return "transformer.wpe.weight";
    if (ours.starts_with("model.norm.")) return "transformer.ln_f." + ours.substr(11);
    return ours;  // lm_head.weight
  }
  const auto dot = ours.find('.', layers.size());
  const std::string layer = ours.substr(layers.size(), dot - layers.size());
  const std::string rest = ours.substr(dot + 1);
  for (const Renaming& name : kGpt2Names) {
    if (!rest.starts_with(name.ours)) continue;
    return "transformer.h." + layer + "." + name.theirs +
           rest.substr(std::string(name.ours).size());
  }
  return ours;
}

std::vector<std::int64_t> shape_of(const Parameter& parameter, bool transposed) {
  if (!parameter.is_matrix()) return {parameter.columns};
  if (transposed) return {parameter.columns, parameter.rows};
  return {parameter.rows, parameter.columns};
}

Json rope_of(const Shape& shape) {
  Json rope{{"rope_type", "default"}};
  if (const auto& scaling = shape.rope_scaling) {
    rope = {{"rope_type", "llama3"},
            {"factor", scaling->factor},
            {"low_freq_factor", scaling->low_frequency},
            {"high_freq_factor", scaling->high_frequency},
            {"original_max_position_embeddings", scaling->original_positions}};
  }
  return rope;
}

const char* torch_name(kernels::Dtype dtype) {
  switch (dtype) {
    case kernels::Dtype::bf16: return "bfloat16";
    case kernels::Dtype::f16: return "float16";
    default: return "float32";
  }
}

void check_there_is_one(const Shape& shape) {
  if (shape.family == Family::gpt2 &&
      shape.head_dim * shape.num_attention_heads != shape.hidden_size) {
    throw models::ModelError("transformers has no GPT-2 whose num_attention_heads = " +
                             std::to_string(shape.num_attention_heads) +
                             " times head_dim = " + std::to_string(shape.head_dim) +
                             " is not hidden_size = " + std::to_string(shape.hidden_size));
  }
  if (shape.family == Family::llama && shape.qk_norm && shape.attention_bias) {
    throw models::ModelError(
        "transformers has no model with norms of heads (qk_norm) and biases of q, k and v alone "
        "(attention_bias)");
  }
}

Json gpt2_config(const Shape& shape) {
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {"n_embd", shape.hidden_size},
          {"n_inner", shape.intermediate_size},
          {"n_layer", shape.num_hidden_layers},
          {"n_head", shape.num_attention_heads},
          {"n_positions", shape.max_position_embeddings},
          {"vocab_size", shape.vocab_size},
          {"layer_norm_epsilon", shape.norm_eps},
          {"activation_function", "gelu_new"},
          {"tie_word_embeddings", shape.tie_word_embeddings}};
}

Json llama_config(const Shape& shape) {
  const std::string type = shape.qk_norm ? "qwen3" : shape.attention_bias ? "qwen2" : "llama";
  const std::string architecture = shape.qk_norm          ? "Qwen3ForCausalLM"
                                   : shape.attention_bias ? "Qwen2ForCausalLM"
                                                          : "LlamaForCausalLM";
  Json config{{"architectures", {architecture}},
              {"model_type", type},
              {"hidden_size", shape.hidden_size},
              {"intermediate_size", shape.intermediate_size},
              {"num_hidden_layers", shape.num_hidden_layers},
              {"num_attention_heads", shape.num_attention_heads},
              {"num_key_value_heads", shape.num_key_value_heads},
              {"head_dim", shape.head_dim},
              {"vocab_size", shape.vocab_size},
              {"max_position_embeddings", shape.max_position_embeddings},
              {"rms_norm_eps", shape.norm_eps},
              {"hidden_act", "silu"},
              {"rope_theta", shape.rope_theta},
              {"tie_word_embeddings", shape.tie_word_embeddings},
              {"attention_dropout", 0.0}};
  Json rope = rope_of(shape);
  if (shape.rope_scaling) config["rope_scaling"] = rope;
  // Where transformers 5 looks.
  rope["rope_theta"] = shape.rope_theta;
  config["rope_parameters"] = rope;
  if (type != "qwen2") config["attention_bias"] = false;
  if (type == "llama") config["mlp_bias"] = false;
  if (type != "llama") config["use_sliding_window"] = false;
  return config;
}

}  // namespace

std::vector<ForeignTensor> foreign_tensors(const Shape& shape) {
  const bool gpt2 = shape.family == Family::gpt2;
  std::vector<ForeignTensor> tensors;
  for (const Parameter& parameter : models::parameter_table(shape)) {
    const std::string name = gpt2 ? gpt2_name(parameter.name) : parameter.name;
    const bool in_layer = parameter.name.starts_with("model.layers.");
    const bool transposed = gpt2 && in_layer && parameter.is_matrix();
    const std::vector<std::int64_t> size = shape_of(parameter, transposed);
    if (!tensors.empty() && tensors.back().name == name) {
      tensors.back().parts.push_back({parameter.name, tensors.back().shape.back()});
      tensors.back().shape.back() += size.back();
    } else {
      tensors.push_back({.name = name,
                         .shape = size,
                         .transposed = transposed,
                         .parts = {{.parameter = parameter.name}}});
    }
  }
  return tensors;
}

std::string foreign_config(const Shape& shape, kernels::Dtype dtype) {
  check_there_is_one(shape);
  Json config = shape.family == Family::gpt2 ? gpt2_config(shape) : llama_config(shape);
  config["bos_token_id"] = nullptr;
  config["eos_token_id"] = nullptr;
  config["torch_dtype"] = torch_name(dtype);
  return config.dump(2) + "\n";
}

}  // namespace trireme::checkpoints
