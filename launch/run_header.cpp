#include "launch/run_header.h"

#include <fmt/core.h>

#include <map>

#include "launch/config_keys.h"
#include "launch/version.h"
#include "models/work.h"

namespace trireme::launch {
namespace {

using runtime::Axis;

const char* family_name(models::Family family) {
  return family == models::Family::llama ? "llama" : "gpt2";
}

struct Persistent {
  double parameters, gradients, optimizer;  // bytes per rank
};

Persistent persistent(const runtime::TrainerOptions& options) {
  const double count = static_cast<double>(models::parameter_count(options.model));
  const double width = static_cast<double>(kernels::size_of(options.compute));
  const int replicas = options.data_parallel.zero_stage == 1 ? options.mesh.size(Axis::data) : 1;
  const bool master = options.compute != kernels::Dtype::f32;
  return {.parameters = count * width,
          .gradients = count * 4,
          .optimizer = count * (master ? 12 : 8) / replicas};
}

std::string memory_text(const runtime::TrainerOptions& options) {
  const Persistent bytes = persistent(options);
  return fmt::format("parameters {}, gradients {}, optimizer {}", gibibytes(bytes.parameters),
                     gibibytes(bytes.gradients), gibibytes(bytes.optimizer));
}

}  // namespace

double persistent_bytes(const runtime::TrainerOptions& options) {
  const Persistent bytes = persistent(options);
  return bytes.parameters + bytes.gradients + bytes.optimizer;
}

std::string config_with_sources(const LoadedConfig& loaded) {
  std::string out;
  for (const Key& key : config_keys()) {
    const std::string value = key.write(loaded.config);
    if (value.empty()) continue;
    out += fmt::format("  {} = {}  ({})\n", key.name, value, loaded.place_of(key.name));
  }
  return out;
}

std::string plan_text(const runtime::TrainerOptions& options) {
  const models::Shape& model = options.model;
  const auto flops = models::training_flops(model, options.sequence_length);
  const std::int64_t tokens = options.global_batch * options.sequence_length;
  const int replicas = options.mesh.size(Axis::data);
  return fmt::format(
      "model     {}: {} layers, hidden {}, {} heads, {} kv heads, head {}, feed-forward {}, "
      "vocabulary "
      "{}{}\n"
      "size      {} parameters, {} FLOP per token (causal), {} (full)\n"
      "layout    {} ranks: tensor {} x pipeline {} x data {}, ZeRO-{}, {}\n"
      "batch     {} sequences of {} = {} tokens per step, {} micro-batches of {} per rank, {} "
      "steps\n"
      "memory    per rank: {}, and activations\n",
      family_name(model.family), model.num_hidden_layers, model.hidden_size,
      model.num_attention_heads, model.num_key_value_heads, model.head_dim, model.intermediate_size,
      model.vocab_size, model.tie_word_embeddings ? ", tied" : "",
      short_count(static_cast<double>(models::parameter_count(model))), short_count(flops.causal),
      short_count(flops.full), options.mesh.world(), options.mesh.size(Axis::tensor),
      options.mesh.size(Axis::pipeline), replicas, options.data_parallel.zero_stage,
      kernels::name_of(options.compute), options.global_batch, options.sequence_length,
      short_count(static_cast<double>(tokens)),
      options.global_batch / options.micro_batch / replicas, options.micro_batch, options.steps,
      memory_text(options));
}

std::string machine_text(const Job& job, const std::vector<std::string>& hosts,
                         const std::string& device, const Scale& scale) {
  std::map<std::string, int> ranks_on;
  for (const auto& host : hosts) ++ranks_on[host];
  std::string where;
  for (const auto& [host, ranks] : ranks_on) {
    where += fmt::format("{}{} x {}", where.empty() ? "" : ", ", host, ranks);
  }
  return fmt::format(
      "program   {}\n"
      "launched  {}; ranks on {}\n"
      "device    {}, {:.1f} GFLOP/s at most per rank, {} of memory\n",
      version_text(), job.description(), where, device, scale.peak_flops_per_rank / 1e9,
      gibibytes(static_cast<double>(scale.memory_limit)));
}

}  // namespace trireme::launch
