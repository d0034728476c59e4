#include "launch/config_keys.h"

#include <toml++/toml.h>

#include <cmath>

#include "launch/key_kinds.h"
#include "launch/run_keys.h"
#include "launch/toml_text.h"

namespace trireme::launch {
namespace {

using optim::LearningRateSchedule;

void read_datasets(std::vector<DatasetEntry>& entries, const toml::node& node) {
  const auto* array = node.as_array();
  if (!array) throw RuleBroken();
  entries.clear();
  for (const toml::node& element : *array) {
    DatasetEntry entry;
    if (element.is_string()) {
      entry.path = value_of<std::string>(element);
    } else if (const auto* table = element.as_table(); table && table->contains("path")) {
      for (const auto& [name, value] : *table) {
        if (name.str() == "path") {
          entry.path = value_of<std::string>(value);
        } else if (name.str() == "weight") {
          entry.weight = value_of<double>(value);
        } else {
          throw RuleBroken();
        }
      }
    } else {
      throw RuleBroken();
    }
    if (entry.path.empty() || !(entry.weight > 0) || !std::isfinite(entry.weight))
      throw RuleBroken();
    entries.push_back(entry);
  }
}

template <class Access>
Key datasets(About about, Access access) {
  return {about.name,
          "list",
          about.unit,
          "[{ path = \"PREFIX or FILE.bin\", weight = above 0 }, ...]",
          about.help,
          [=](Config& config, const toml::node& node) { read_datasets(access(config), node); },
          [=](const Config& config) {
            std::string entries;
            for (const auto& entry : access(const_cast<Config&>(config))) {
              entries += (entries.empty() ? "{ path = " : ", { path = ") + quoted(entry.path) +
                         ", weight = " + toml_text(std::optional(entry.weight)) + " }";
            }
            return "[" + entries + "]";
          }};
}

models::RopeScaling read_rope_scaling(const toml::node& node) {
  const auto* table = node.as_table();
  if (!table) throw RuleBroken();
  models::RopeScaling scaling;
  for (const auto& [name, value] : *table) {
    if (name.str() == "rope_type") {
      if (value_of<std::string>(value) != "llama3") throw RuleBroken();
    } else if (name.str() == "factor") {
      scaling.factor = value_of<double>(value);
    } else if (name.str() == "low_freq_factor") {
      scaling.low_frequency = value_of<double>(value);
    } else if (name.str() == "high_freq_factor") {
      scaling.high_frequency = value_of<double>(value);
    } else if (name.str() == "original_max_position_embeddings") {
      scaling.original_positions = value_of<std::int64_t>(value);
    } else {
      throw RuleBroken();
    }
  }
  if (!(scaling.factor >= 1 && scaling.low_frequency > 0 && scaling.original_positions > 0 &&
        scaling.high_frequency > scaling.low_frequency)) {
    throw RuleBroken();
  }
  return scaling;
}

Key rope_scaling() {
  return {
      "model.rope_scaling",
      "table",
      "",
      "{ rope_type = \"llama3\", factor, low_freq_factor, high_freq_factor, "
      "original_max_position_embeddings }",
      "stretches rotary positions as Llama 3.1 does",
      [](Config& config, const toml::node& node) {
        config.model.rope_scaling = read_rope_scaling(node);
      },
      [](const Config& config) {
        const auto& scaling = config.model.rope_scaling;
        if (!scaling) return std::string();
        return "{ rope_type = \"llama3\", factor = " + toml_text(std::optional(scaling->factor)) +
               ", low_freq_factor = " + toml_text(std::optional(scaling->low_frequency)) +
               ", high_freq_factor = " + toml_text(std::optional(scaling->high_frequency)) +
               ", original_max_position_embeddings = " +
               toml_text(std::optional(scaling->original_positions)) + " }";
      }};
}

Key model_type() {
  return {"model.model_type",
          "text",
          "",
          "one of \"llama\", \"gpt2\"",
          "family: llama (RMSNorm, RoPE, GQA, SwiGLU) or gpt2 (LayerNorm, learned positions, GELU)",
          [](Config& config, const toml::node& node) {
            const auto given = value_of<std::string>(node);
            if (given != "llama" && given != "gpt2") throw RuleBroken();
            config.model.model_type =
                given == "llama" ? models::Family::llama : models::Family::gpt2;
          },
          [](const Config& config) {
            if (!config.model.model_type) return std::string();
            return quoted(*config.model.model_type == models::Family::llama ? "llama" : "gpt2");
          }};
}

using M = ModelSection;
using D = DataSection;
using P = ParallelSection;
using R = PrecisionSection;
using O = OptimizerSection;
using T = TrainSection;

std::vector<Key> model_keys() {
  constexpr auto section = &Config::model;
  std::string presets;
  for (const auto& name : models::preset_names()) presets += (presets.empty() ? "" : ", ") + name;
  Key preset = optional_text(
      {"model.preset", "", "a known shape, which the other keys of [model] may change"}, "a preset",
      at(section, &M::preset));
  preset.rule = "one of " + presets;
  return {
      preset,
      optional_text({"model.hf_config", "", "a Hugging Face config.json to take the shape from"},
                    "a file or the folder that holds config.json", at(section, &M::hf_config)),
      model_type(),
      size({"model.hidden_size", "", "channels of the residual stream"},
           at(section, &M::hidden_size), 1),
      size({"model.intermediate_size", "", "channels inside the feed-forward"},
           at(section, &M::intermediate_size), 1),
      size({"model.num_hidden_layers", "layers", "transformer layers"},
           at(section, &M::num_hidden_layers), 1, kMostLayers),
      size({"model.num_attention_heads", "heads", "query heads"},
           at(section, &M::num_attention_heads), 1),
      size({"model.num_key_value_heads", "heads",
            "key and value heads; default num_attention_heads"},
           at(section, &M::num_key_value_heads), 1),
      size({"model.head_dim", "", "channels of a head; default hidden_size / num_attention_heads"},
           at(section, &M::head_dim), 1),
      size({"model.vocab_size", "tokens", "token ids are below this"}, at(section, &M::vocab_size),
           2),
      size({"model.max_position_embeddings", "tokens", "longest sequence; 0 for no limit (llama)"},
           at(section, &M::max_position_embeddings), 0),
      real({"model.rope_theta", "", "base of the rotary frequencies"}, at(section, &M::rope_theta)),
      rope_scaling(),
      real({"model.rms_norm_eps", "", "epsilon of the norms"}, at(section, &M::rms_norm_eps)),
      flag({"model.tie_word_embeddings", "", "the output projection is the embedding table"},
           at(section, &M::tie_word_embeddings)),
      flag({"model.attention_bias", "", "biases on q, k and v"}, at(section, &M::attention_bias)),
      flag({"model.qk_norm", "", "RMSNorm of every head of q and k, as Qwen3 has"},
           at(section, &M::qk_norm)),
  };
}

std::vector<Key> data_keys() {
  constexpr auto section = &Config::data;
  return {
      datasets({"data.train", "", "token files to train on, and how much of the blend each is"},
               at(section, &D::train)),
      datasets({"data.validation", "", "token files to evaluate on"}, at(section, &D::validation)),
      number({"data.validation_fraction", "",
              "share at the end of each training file kept for evaluation instead"},
             at(section, &D::validation_fraction), kFraction),
      text({"data.tokenizer", "", "what made the token files"},
           "\"bytes\", a tokenizer.json or a SentencePiece .model", at(section, &D::tokenizer)),
      boolean({"data.shuffle", "", "visit samples in a random order, another one every epoch"},
              at(section, &D::shuffle)),
  };
}

std::vector<Key> parallel_keys() {
  constexpr auto section = &Config::parallel;
  return {
      integer({"parallel.tensor", "ranks", "ranks that share every matrix (TP)"},
              at(section, &P::tensor), 1, kMostRanks),
      integer({"parallel.pipeline", "ranks", "ranks that share the layers (PP)"},
              at(section, &P::pipeline), 1, kMostRanks),
      integer_or_auto({"parallel.data", "ranks",
                       "replicas of the model (DP); auto: world / (tensor * pipeline * context)"},
                      at(section, &P::data), 1, kMostRanks),
      integer({"parallel.context", "ranks", "ranks that share a sequence (CP)"},
              at(section, &P::context), 1, 1),
      integer({"parallel.expert", "ranks", "ranks that share the experts (EP)"},
              at(section, &P::expert), 1, 1),
      boolean({"parallel.sequence", "",
               "tensor-parallel ranks also share the tokens between the matrices (SP)"},
              at(section, &P::sequence)),
      text({"parallel.order", "", "which ranks are neighbors, fastest-varying first"},
           "tp, cp, dp and pp in any order, joined by -", at(section, &P::order)),
  };
}

std::vector<Key> optimizer_keys() {
  constexpr auto section = &Config::optimizer;
  constexpr Choices<LearningRateSchedule, 4> schedules{
      {{"constant", LearningRateSchedule::constant},
       {"linear", LearningRateSchedule::linear},
       {"cosine", LearningRateSchedule::cosine},
       {"wsd", LearningRateSchedule::wsd}}};
  return {
      number({"optimizer.lr", "", "peak learning rate"}, at(section, &O::lr), kPositive),
      number({"optimizer.min_lr", "", "learning rate of the last step"}, at(section, &O::min_lr),
             kNotNegative),
      choice({"optimizer.lr_schedule", "", "how the learning rate falls after the warm-up"},
             at(section, &O::lr_schedule), schedules),
      integer({"optimizer.warmup_steps", "steps", "linear rise to the peak"},
              at(section, &O::warmup_steps), 0),
      number({"optimizer.decay_fraction", "", "share of the steps in which wsd falls"},
             at(section, &O::decay_fraction), kFraction),
      number({"optimizer.beta1", "", "decay of AdamW's first moment"}, at(section, &O::beta1),
             kFraction),
      number({"optimizer.beta2", "", "decay of AdamW's second moment"}, at(section, &O::beta2),
             kFraction),
      number({"optimizer.eps", "", "AdamW's epsilon"}, at(section, &O::eps), kPositive),
      number({"optimizer.weight_decay", "", "decoupled weight decay, on matrices only"},
             at(section, &O::weight_decay), kNotNegative),
      number({"optimizer.clip_grad_norm", "", "largest global gradient norm; 0: no clipping"},
             at(section, &O::clip_grad_norm), kNotNegative),
      integer({"optimizer.zero_stage", "",
               "1: optimizer state is shared over the replicas; 0: every replica has all of it"},
              at(section, &O::zero_stage), 0, 1),
      boolean({"optimizer.post_validation", "",
               "ranks begin the next step before they know all gradients; taken back if wrong"},
              at(section, &O::post_validation)),
  };
}

std::vector<Key> precision_keys() {
  constexpr auto section = &Config::precision;
  constexpr Choices<Compute, 4> computes{{{"auto", Compute::automatic},
                                          {"fp32", Compute::fp32},
                                          {"bf16", Compute::bf16},
                                          {"fp16", Compute::fp16}}};
  return {
      choice({"precision.compute", "",
              "parameters and activations; auto: bf16 on CUDA, fp32 on CPU. Gradients and master "
              "weights are fp32"},
             at(section, &R::compute), computes),
      number({"precision.initial_loss_scale", "", "fp16 only"}, at(section, &R::initial_loss_scale),
             kPositive),
      integer({"precision.loss_scale_window", "steps",
               "fp16 only: good steps until the loss scale doubles"},
              at(section, &R::loss_scale_window), 1),
  };
}

std::vector<Key> train_keys() {
  constexpr auto section = &Config::train;
  constexpr Choices<Device, 3> devices{
      {{"auto", Device::automatic}, {"cpu", Device::cpu}, {"cuda", Device::cuda}}};
  constexpr Choices<Transport, 3> transports{
      {{"auto", Transport::automatic}, {"nccl", Transport::nccl}, {"host", Transport::host}}};
  constexpr Choices<Flops, 2> conventions{{{"causal", Flops::causal}, {"full", Flops::full}}};
  return {
      integer({"train.steps", "steps", "optimizer updates of the run"}, at(section, &T::steps), 1),
      integer({"train.global_batch_size", "sequences", "of one step, over all ranks"},
              at(section, &T::global_batch_size), 1, kLargest),
      integer({"train.micro_batch_size", "sequences", "of one pass of one rank"},
              at(section, &T::micro_batch_size), 1, kLargest),
      integer({"train.seq_length", "tokens", "length of a sequence"}, at(section, &T::seq_length),
              1, kLargest),
      integer({"train.seed", "", "of initial weights and data order"}, at(section, &T::seed), 0),
      choice({"train.device", "", "what the ranks compute on; auto: CUDA where there is a device"},
             at(section, &T::device), devices),
      choice({"train.transport", "",
              "between GPUs: NCCL, or host memory and MPI; auto: NCCL if no two ranks share a GPU"},
             at(section, &T::transport), transports),
      boolean(
          {"train.deterministic", "",
           "the same bits in every run: on CUDA the first algorithm for each product and attention "
           "without cuDNN instead of the fastest found at start; the CPU gives them anyway"},
          at(section, &T::deterministic)),
      integer_or_auto({"train.threads", "threads",
                       "per rank on the CPU; auto: the node's cores over its ranks"},
                      at(section, &T::threads), 1, kMostThreads),
      integer({"train.eval_interval", "steps", "between evaluations; 0: never"},
              at(section, &T::eval_interval), 0),
      integer({"train.eval_batches", "global batches", "of an evaluation"},
              at(section, &T::eval_batches), 1, kLargest),
      integer({"train.log_interval", "steps", "between console lines; 0: none"},
              at(section, &T::log_interval), 0),
      integer({"train.max_skipped_steps", "steps",
               "skipped in a row for gradients that are not finite before the run gives up"},
              at(section, &T::max_skipped_steps), 0),
      number({"train.max_seconds", "seconds",
              "in which the run saves and ends, to be started again; it stops before by two steps "
              "and three saves, or 15 s; 0: no limit"},
             at(section, &T::max_seconds), kNotNegative),
      choice({"train.mfu_flops", "",
              "how MFU counts attention: each query with the keys it sees, or with all"},
             at(section, &T::mfu_flops), conventions),
  };
}

std::vector<Key> make_keys() {
  std::vector<Key> keys;
  for (auto& part : {model_keys(), data_keys(), parallel_keys(), precision_keys(), optimizer_keys(),
                     train_keys(), run_keys()}) {
    keys.insert(keys.end(), part.begin(), part.end());
  }
  return keys;
}

}  // namespace

const std::vector<Key>& config_keys() {
  static const std::vector<Key> keys = make_keys();
  return keys;
}

}  // namespace trireme::launch
