#include "launch/run_header.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "launch/config_keys.h"
#include "launch/version.h"
#include "models/shards.h"
#include "models/work.h"
#include "schedules/simulate.h"

namespace trireme::launch {
namespace {

using runtime::Axis;

const char* family_name(models::Family family) {
  return family == models::Family::llama ? "llama" : "gpt2";
}

std::vector<std::pair<int, models::LayerRange>> stages_of(const runtime::TrainerOptions& options,
                                                          int pipeline_rank) {
  std::vector<std::pair<int, models::LayerRange>> stages;
  for (std::size_t i = 0; i < options.stages.size(); ++i) {
    const auto stage = static_cast<int>(i);
    if (options.schedule.rank_of(stage, 0) == pipeline_rank) {
      stages.emplace_back(stage, options.stages[i]);
    }
  }
  return stages;
}

// Parameters that the first of the tensor-parallel ranks holds, for each pipeline rank.
std::vector<std::int64_t> rank_parameters(const runtime::TrainerOptions& options) {
  std::vector<std::int64_t> counts;
  for (int rank = 0; rank < options.mesh.size(Axis::pipeline); ++rank) {
    models::UnitsByStage units;
    for (const auto& [number, layers] : stages_of(options, rank)) {
      units.push_back(models::units_of(options.model, layers));
    }
    std::int64_t& count = counts.emplace_back(0);
    for (const auto& shards :
         models::shards_of(options.model, units, 0, options.mesh.size(Axis::tensor))) {
      for (const models::Shard& shard : shards) count += shard.slice.size();
    }
  }
  return counts;
}

std::string layers_text(const models::LayerRange& layers) {
  std::string text = layers.embedding ? "embedding, " : "";
  if (layers.count == 1) text += fmt::format("layer {}", layers.first);
  if (layers.count > 1) {
    text += fmt::format("layers {} to {}", layers.first, layers.first + layers.count - 1);
  }
  if (layers.count == 0) text += "no layers";
  return text + (layers.head ? ", head" : "");
}

// Share of the time in which ranks wait for each other in the pipeline, in a simulation with the
// costs that the schedule was made for.
double bubble_forecast(const runtime::TrainerOptions& options) {
  if (options.mesh.size(Axis::pipeline) == 1) return 0;
  const auto costs = options.costs.of(options.stages, options.mesh.size(Axis::pipeline));
  return schedules::simulate(options.schedule, costs).bubble_fraction();
}

// Which rank runs what: nothing for a pipeline of one rank.
std::string stage_table(const runtime::TrainerOptions& options) {
  const int ranks = options.mesh.size(Axis::pipeline);
  if (ranks == 1) return "";
  std::string text = fmt::format(
      "schedule  {}: {} stages on {} ranks, {} micro-batches, bubble {:.1f} % (forecast)\n",
      options.schedule.kind, options.stages.size(), ranks, options.schedule.micro_batches,
      100 * bubble_forecast(options));
  const auto counts = rank_parameters(options);
  for (int rank = 0; rank < ranks; ++rank) {
    std::string stages;
    for (const auto& [number, layers] : stages_of(options, rank)) {
      stages +=
          fmt::format("{}stage {}: {}", stages.empty() ? "" : "; ", number, layers_text(layers));
    }
    text += fmt::format(
        "  pipeline rank {}: {} parameters on each tensor-parallel rank; {}\n", rank,
        short_count(static_cast<double>(counts[static_cast<std::size_t>(rank)])), stages);
  }
  return text;
}

// Of the rank that has most.
double largest_rank(const runtime::TrainerOptions& options) {
  return static_cast<double>(std::ranges::max(rank_parameters(options)));
}

struct Persistent {
  double parameters, gradients, optimizer;  // bytes per rank
};

Persistent persistent(const runtime::TrainerOptions& options) {
  const double count = largest_rank(options);
  const double width = static_cast<double>(kernels::size_of(options.compute));
  const int replicas = options.data_parallel.zero_stage == 1 ? options.mesh.size(Axis::data) : 1;
  const double state = options.compute == kernels::Dtype::f32 ? 8 : 12;  // moments, master weights
  // A copy of all that an update changes.
  const double kept = options.post_validation ? state + width : 0;
  return {.parameters = count * width,
          .gradients = count * 4,
          .optimizer = count * (state + kept) / replicas};
}

std::string memory_text(const runtime::TrainerOptions& options) {
  const Persistent bytes = persistent(options);
  const double copy = checkpoint_bytes(options);
  return fmt::format(
      "parameters {}, gradients {}, optimizer {}, and activations{}", bytes_text(bytes.parameters),
      bytes_text(bytes.gradients), bytes_text(bytes.optimizer),
      copy > 0
          ? fmt::format("; a checkpoint's copy on the host {}, two if one waits", bytes_text(copy))
          : "");
}

}  // namespace

double persistent_bytes(const runtime::TrainerOptions& options) {
  const Persistent bytes = persistent(options);
  return bytes.parameters + bytes.gradients + bytes.optimizer;
}

double checkpoint_bytes(const runtime::TrainerOptions& options) {
  if (options.checkpoint_interval == 0) return 0;
  // Weights and two moments in fp32, of which every replica writes its part.
  return largest_rank(options) * 12 / options.mesh.size(Axis::data);
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
      "layout    {} ranks: tensor {}{} x pipeline {} x data {}, ZeRO-{}, {}\n"
      "batch     {} sequences of {} = {} tokens per step, {} micro-batches of {} per rank, {} "
      "steps\n"
      "memory    per rank: {}\n"
      "{}",
      family_name(model.family), model.num_hidden_layers, model.hidden_size,
      model.num_attention_heads, model.num_key_value_heads, model.head_dim, model.intermediate_size,
      model.vocab_size, model.tie_word_embeddings ? ", tied" : "",
      short_count(static_cast<double>(models::parameter_count(model))), short_count(flops.causal),
      short_count(flops.full), options.mesh.world(), options.mesh.size(Axis::tensor),
      options.mesh.size(Axis::tensor) > 1 && options.sequence_parallel ? " with sequence" : "",
      options.mesh.size(Axis::pipeline), replicas, options.data_parallel.zero_stage,
      kernels::name_of(options.compute), options.global_batch, options.sequence_length,
      short_count(static_cast<double>(tokens)),
      options.global_batch / options.micro_batch / replicas, options.micro_batch, options.steps,
      memory_text(options), stage_table(options));
}

std::string costs_text(const runtime::PassCosts& costs) {
  const auto unit = [&](const char* name, double models::UnitCosts::*part) {
    return fmt::format("{} {:.3g} / {:.3g} / {:.3g}", name, 1e3 * (costs.forward.*part),
                       1e3 * (costs.backward_input.*part), 1e3 * (costs.backward_weight.*part));
  };
  return fmt::format(
      "measured  ms of a micro-batch, forward / input gradient / weight gradient: {}, {}, {}; a "
      "message {:.3g}\n",
      unit("embedding", &models::UnitCosts::embedding), unit("layer", &models::UnitCosts::layer),
      unit("head", &models::UnitCosts::head), 1e3 * costs.message);
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
      bytes_text(static_cast<double>(scale.memory_limit)));
}

}  // namespace trireme::launch
