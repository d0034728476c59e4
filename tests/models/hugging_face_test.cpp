#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/parameters.h"
#include "models/shape.h"

namespace trireme::models {
namespace {

using nlohmann::json;

// As published with meta-llama/Llama-3.1-8B.
json llama() {
  return json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 128000, "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 4096,
    "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 131072,
    "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "transformers_version": "4.43.0.dev0", "use_cache": true, "vocab_size": 128256})");
}

// As published with mistralai/Mistral-7B-v0.3.
json mistral() {
  return json::parse(R"({
    "architectures": ["MistralForCausalLM"], "attention_dropout": 0.0, "hidden_act": "silu",
    "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768,
    "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
    "sliding_window": null, "tie_word_embeddings": false, "vocab_size": 32768})");
}

// As published with Qwen/Qwen2-0.5B.
json qwen2() {
  return json::parse(R"({
    "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "hidden_act": "silu",
    "hidden_size": 896, "intermediate_size": 4864, "max_position_embeddings": 131072,
    "max_window_layers": 24, "model_type": "qwen2", "num_attention_heads": 14,
    "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0, "sliding_window": 1024, "tie_word_embeddings": true,
    "use_sliding_window": false, "vocab_size": 151936})");
}

// As published with openai-community/gpt2, and what transformers adds when it saves one.
json gpt2() {
  return json::parse(R"({
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
    "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12,
    "n_inner": null, "n_layer": 12, "n_positions": 1024, "reorder_and_upcast_attn": false,
    "scale_attn_by_inverse_layer_idx": false, "scale_attn_weights": true, "vocab_size": 50257})");
}

json with(json config, const std::string& key, json value) {
  config[key] = std::move(value);
  return config;
}

json without(json config, const std::string& key) {
  config.erase(key);
  return config;
}

class HuggingFaceTest : public testing::Test {
 protected:
  HuggingFaceTest() {
    std::string name = (std::filesystem::temp_directory_path() / "trireme_models_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~HuggingFaceTest() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return (folder_ / "config.json").string(); }

  std::string write(const std::string& text) const {
    std::ofstream(path()) << text;
    return path();
  }

  Shape read(const json& config) const { return read_hugging_face(write(config.dump())); }

  // Expects a complaint that names the file and each of `words`.
  void expect_refused(const std::string& text, const std::vector<std::string>& words) const {
    SCOPED_TRACE(text);
    write(text);
    try {
      read_hugging_face(path());
      ADD_FAILURE() << "nothing was thrown, expected " << words.at(0);
    } catch (const ModelError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(path()), std::string::npos) << message;
      for (const auto& word : words) {
        EXPECT_NE(message.find(word), std::string::npos) << message << " does not say " << word;
      }
    }
  }

  void expect_refused(const json& config, const std::vector<std::string>& words) const {
    expect_refused(config.dump(), words);
  }

  std::filesystem::path folder_;
};

void expect_same(const Shape& shape, const Shape& expected) {
  EXPECT_EQ(shape.family, expected.family);
  EXPECT_EQ(shape.hidden_size, expected.hidden_size);
  EXPECT_EQ(shape.intermediate_size, expected.intermediate_size);
  EXPECT_EQ(shape.num_hidden_layers, expected.num_hidden_layers);
  EXPECT_EQ(shape.num_attention_heads, expected.num_attention_heads);
  EXPECT_EQ(shape.num_key_value_heads, expected.num_key_value_heads);
  EXPECT_EQ(shape.head_dim, expected.head_dim);
  EXPECT_EQ(shape.vocab_size, expected.vocab_size);
  EXPECT_EQ(shape.max_position_embeddings, expected.max_position_embeddings);
  EXPECT_EQ(shape.norm_eps, expected.norm_eps);
  EXPECT_EQ(shape.tie_word_embeddings, expected.tie_word_embeddings);
  EXPECT_EQ(shape.attention_bias, expected.attention_bias);
  EXPECT_EQ(rope_frequencies(shape), rope_frequencies(expected));
}

TEST_F(HuggingFaceTest, ReadsLlama31AsItsPreset) {
  expect_same(read(llama()), preset("llama3-8b"));
}

TEST_F(HuggingFaceTest, ReadsGpt2AsItsPreset) { expect_same(read(gpt2()), preset("gpt2-124m")); }

TEST_F(HuggingFaceTest, ReadsAFolderThatHoldsTheFile) {
  write(llama().dump());
  expect_same(read_hugging_face(folder_.string()), preset("llama3-8b"));
}

TEST_F(HuggingFaceTest, ReadsScalingFromWhereTransformers5PutIt) {
  json rope = llama()["rope_scaling"];
  rope["rope_theta"] = 500000.0;
  const json config =
      with(without(without(llama(), "rope_scaling"), "rope_theta"), "rope_parameters", rope);
  expect_same(read(config), preset("llama3-8b"));
}

TEST_F(HuggingFaceTest, ReadsThetaAloneFromWhereTransformers5PutIt) {
  const json config = with(without(mistral(), "rope_theta"), "rope_parameters",
                           {{"rope_type", "default"}, {"rope_theta", 1000000.0}});
  expect_same(read(config), read(mistral()));
}

TEST_F(HuggingFaceTest, ReadsScalingUnderItsOldName) {
  json rope = llama()["rope_scaling"];
  rope["type"] = rope["rope_type"];
  rope.erase("rope_type");
  expect_same(read(with(llama(), "rope_scaling", rope)), preset("llama3-8b"));
}

TEST_F(HuggingFaceTest, ReadsAMistralWithoutASlidingWindow) {
  const Shape shape = read(mistral());
  EXPECT_EQ(shape.family, Family::llama);
  EXPECT_EQ(parameter_count(shape), 7248023552);  // of the released weights
  EXPECT_EQ(shape.rope_theta, 1000000.0);
  EXPECT_FALSE(shape.rope_scaling);
  EXPECT_FALSE(shape.attention_bias);
  // The window that transformers assumes, 4096, hides nothing from 4096 positions.
  expect_same(read(without(with(mistral(), "max_position_embeddings", 4096), "sliding_window")),
              read(with(mistral(), "max_position_embeddings", 4096)));
}

TEST_F(HuggingFaceTest, ReadsTheHeadSizeIfItIsGiven) {
  const Shape shape = read(with(with(mistral(), "hidden_size", 5120), "head_dim", 128));
  EXPECT_EQ(shape.head_dim, 128);
  EXPECT_EQ(shape.query_columns(), 4096);
  EXPECT_EQ(read(with(mistral(), "head_dim", nullptr)).head_dim, 128);
}

TEST_F(HuggingFaceTest, ReadsAQwen2WithItsBiasesAndUnusedWindow) {
  const Shape shape = read(qwen2());
  EXPECT_TRUE(shape.attention_bias);
  EXPECT_TRUE(shape.tie_word_embeddings);
  EXPECT_EQ(shape.norm_eps, 1e-6);
  EXPECT_EQ(parameter_count(shape), 494032768);  // of the released weights
}

TEST_F(HuggingFaceTest, TakesKeyHeadsAndTyingFromTheDefaultsOfTransformers) {
  const Shape shape = read(without(without(llama(), "num_key_value_heads"), "tie_word_embeddings"));
  EXPECT_EQ(shape.num_key_value_heads, 32);
  EXPECT_FALSE(shape.tie_word_embeddings);
  EXPECT_TRUE(read(gpt2()).tie_word_embeddings);
}

TEST_F(HuggingFaceTest, ReadsTheFeedForwardOfAGpt2IfItIsGiven) {
  EXPECT_EQ(read(gpt2()).intermediate_size, 4 * 768);
  EXPECT_EQ(read(without(gpt2(), "n_inner")).intermediate_size, 4 * 768);
  EXPECT_EQ(read(with(gpt2(), "n_inner", 1000)).intermediate_size, 1000);
}

TEST_F(HuggingFaceTest, NamesTheFileAndTheKeyThatIsMissing) {
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "vocab_size"}) {
    expect_refused(without(llama(), key), {std::string(key) + " is missing"});
  }
  for (const char* key : {"n_embd", "n_head", "n_layer", "n_positions", "vocab_size"}) {
    expect_refused(without(gpt2(), key), {std::string(key) + " is missing"});
  }
}

TEST_F(HuggingFaceTest, NamesTheFileAndTheKeyOfTheWrongType) {
  expect_refused(with(llama(), "hidden_size", "4096"), {"hidden_size", "\"4096\""});
  expect_refused(with(llama(), "hidden_size", 4096.5), {"hidden_size", "4096.5"});
  expect_refused(with(llama(), "num_hidden_layers", -1), {"num_hidden_layers", "-1"});
  expect_refused(with(llama(), "rms_norm_eps", "small"), {"rms_norm_eps", "small"});
  expect_refused(with(llama(), "tie_word_embeddings", 1), {"tie_word_embeddings", "1"});
  expect_refused(with(llama(), "hidden_act", 3), {"hidden_act", "3"});
  expect_refused(with(llama(), "num_attention_heads", 0), {"num_attention_heads", "0"});
  expect_refused(with(gpt2(), "n_head", 0), {"n_head", "0"});
  expect_refused(with(gpt2(), "n_positions", true), {"n_positions", "true"});
}

TEST_F(HuggingFaceTest, NamesTheScalingThatIsNotAnObjectOrLacksAPart) {
  expect_refused(with(llama(), "rope_scaling", "llama3"), {"rope_scaling"});
  expect_refused(with(llama(), "rope_scaling", {{"rope_type", "llama3"}, {"factor", "8"}}),
                 {"factor"});
  expect_refused(with(llama(), "rope_scaling", without(llama()["rope_scaling"], "factor")),
                 {"factor"});
}

TEST_F(HuggingFaceTest, RefusesWhatIsNotBuilt) {
  expect_refused(with(llama(), "model_type", "mixtral"),
                 {"model_type", "mixtral", "llama", "mistral", "qwen2", "gpt2"});
  expect_refused(without(llama(), "model_type"), {"model_type"});
  expect_refused(with(llama(), "hidden_act", "gelu"), {"hidden_act", "gelu", "silu"});
  expect_refused(with(gpt2(), "activation_function", "relu"),
                 {"activation_function", "relu", "gelu_new"});
  expect_refused(with(llama(), "attention_bias", true), {"attention_bias"});
  expect_refused(with(llama(), "mlp_bias", true), {"mlp_bias"});
  expect_refused(with(llama(), "rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}),
                 {"rope_type", "yarn", "llama3"});
  expect_refused(with(llama(), "rope_scaling", {{"type", "linear"}, {"factor", 2.0}}),
                 {"type", "linear", "llama3"});
  expect_refused(with(without(llama(), "rope_scaling"), "rope_parameters",
                      {{"rope_type", "dynamic"}, {"factor", 2.0}}),
                 {"rope_type", "dynamic"});
}

TEST_F(HuggingFaceTest, RefusesAWindowThatHidesPositions) {
  expect_refused(with(mistral(), "sliding_window", 4096), {"sliding_window", "4096"});
  expect_refused(with(qwen2(), "use_sliding_window", true), {"sliding_window", "1024"});
  expect_same(read(with(mistral(), "sliding_window", 32768)), read(mistral()));
}

TEST_F(HuggingFaceTest, RefusesAnotherScaleOfAttention) {
  expect_refused(with(gpt2(), "scale_attn_by_inverse_layer_idx", true),
                 {"scale_attn_by_inverse_layer_idx"});
  expect_refused(with(gpt2(), "scale_attn_weights", false), {"scale_attn_weights"});
}

// They would train, into numbers that are none.
TEST_F(HuggingFaceTest, RefusesNumbersThatNoModelHas) {
  for (const double theta : {0.0, -5.0}) {
    expect_refused(with(llama(), "rope_theta", theta), {"rope_theta", "above 0"});
  }
  expect_refused(with(llama(), "rms_norm_eps", -1), {"norms", "above 0"});
  expect_refused(with(llama(), "num_key_value_heads", 0), {"key and value heads"});
  expect_refused(with(llama(), "head_dim", 0), {"size of a head"});
  expect_refused(with(llama(), "num_hidden_layers", 1000000000), {"layers", "65536"});
  const json scaling = {{"rope_type", "llama3"},
                        {"factor", 8},
                        {"low_freq_factor", 1},
                        {"high_freq_factor", 4},
                        {"original_max_position_embeddings", 8192}};
  const auto scaled = [&](const char* key, double value) {
    json changed = scaling;
    changed[key] = value;
    return with(llama(), "rope_scaling", changed);
  };
  EXPECT_NO_THROW(read(scaled("factor", 2)));
  expect_refused(scaled("factor", 0), {"factor"});
  expect_refused(scaled("low_freq_factor", 4), {"low_freq_factor", "high_freq_factor"});
  expect_refused(scaled("original_max_position_embeddings", -3), {"original_max"});
}

TEST_F(HuggingFaceTest, NamesTheFileThatIsNotThereOrNotAnObject) {
  expect_refused(std::string("{\"model_type\": "), {"not JSON"});
  expect_refused(std::string("[1, 2]"), {"not a JSON object"});
  std::filesystem::remove(path());
  EXPECT_THROW(read_hugging_face(path()), ModelError);
  EXPECT_THROW(read_hugging_face(folder_.string()), ModelError);
}

}  // namespace
}  // namespace trireme::models
