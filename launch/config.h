#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "models/shape.h"
#include "optim/learning_rate.h"
#include "runtime/comm/mesh.h"
#include "runtime/model/recompute.h"
#include "runtime/trace/span_log.h"

namespace trireme::launch {

enum class Device { automatic, cpu, cuda };
enum class Transport { automatic, nccl, host };
enum class Compute { automatic, fp32, bf16, fp16 };
enum class Flops { causal, full };

// The [model] section as written: a preset or a Hugging Face config, and single sizes over it.
struct ModelSection {
  std::string preset;
  std::string hf_config;
  std::optional<models::Family> model_type;
  std::optional<std::int64_t> hidden_size, intermediate_size, num_hidden_layers,
      num_attention_heads, num_key_value_heads, head_dim, vocab_size, max_position_embeddings;
  std::optional<double> rope_theta, rms_norm_eps;
  std::optional<models::RopeScaling> rope_scaling;
  std::optional<bool> tie_word_embeddings, attention_bias, qk_norm;
};

struct DatasetEntry {
  std::string path;
  double weight = 1;
};

struct DataSection {
  std::vector<DatasetEntry> train, validation;
  double validation_fraction = 0;
  std::string tokenizer = "bytes";
  bool shuffle = true;
};

inline constexpr std::int64_t kMostRanks = std::int64_t{1} << 20;

struct ParallelSection {
  std::int64_t tensor = 1, pipeline = 1, context = 1, expert = 1;
  std::optional<std::int64_t> data;  // nothing: as many as the world allows
  bool sequence = true;
  std::string order = "tp-cp-dp-pp";
};

struct OptimizerSection {
  double lr = 3e-4, min_lr = 3e-5;
  optim::LearningRateSchedule lr_schedule = optim::LearningRateSchedule::cosine;
  std::int64_t warmup_steps = 20;
  double decay_fraction = 0.2;
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1, clip_grad_norm = 1.0;
  std::int64_t zero_stage = 1;
  bool post_validation = false;
};

struct PrecisionSection {
  Compute compute = Compute::automatic;
  double initial_loss_scale = 65536;
  std::int64_t loss_scale_window = 1000;
};

struct TrainSection {
  std::int64_t steps = 200, global_batch_size = 32, micro_batch_size = 2, seq_length = 256;
  std::int64_t seed = 1234;
  Device device = Device::automatic;
  Transport transport = Transport::automatic;
  bool deterministic = false;
  std::optional<std::int64_t> threads;  // nothing: the cores of the node over its ranks
  std::int64_t eval_interval = 50, eval_batches = 4, log_interval = 1, max_skipped_steps = 20;
  double max_seconds = 0;  // 0: no limit
  Flops mfu_flops = Flops::causal;
};

enum class ScheduleCosts { flops, measured };

struct ScheduleSection {
  std::string kind = "1f1b";
  std::string file;                            // of kind "file"
  std::optional<std::int64_t> virtual_stages;  // nothing: the kind's own
  std::vector<int> split;                      // layers of each stage; empty: by cost
  ScheduleCosts costs = ScheduleCosts::flops;
  double memory_limit = 0;  // for searched kinds, in micro-batches; 0: none
};

struct RecomputeSection {
  runtime::Recompute mode = runtime::Recompute::none;
  std::optional<std::int64_t> layers;  // of each stage; nothing: all
};

struct CheckpointSection {
  std::string dir;
  std::int64_t interval = 100, keep = 3, keep_every = 0;
  bool async = true;
  std::string resume = "auto";
  double timeout_seconds = 3600;  // for the slowest rank's disk
};

struct TraceSection {
  runtime::StepRange steps;
};

struct WatchdogSection {
  std::optional<double> timeout_seconds;  // nothing: ten minutes
};

struct RunSection {
  std::string dir = "runs/default";
};

// Everything a run depends on. Each part is handed to the code it concerns; nothing below launch/
// sees the whole, and nothing below it reads text.
struct Config {
  ModelSection model;
  DataSection data;
  ParallelSection parallel;
  PrecisionSection precision;
  OptimizerSection optimizer;
  TrainSection train;
  ScheduleSection schedule;
  RecomputeSection recompute;
  CheckpointSection checkpoint;
  TraceSection trace;
  WatchdogSection watchdog;
  RunSection run;
};

// One thing that is wrong, with all a person needs to put it right.
struct Problem {
  std::string place;  // "run.toml:12", "--set", or empty for a default
  std::string key;    // "train.global_batch_size"
  std::string value;  // as given
  std::string rule;   // "must be ..."
};

// "run.toml:12: train.steps = 0: must be ..."
std::string to_text(const Problem& problem);

// The user asked for something that does not exist or cannot be: everything wrong at once.
struct ConfigError : std::runtime_error {
  explicit ConfigError(std::vector<Problem> found);
  std::vector<Problem> problems;
};

// A command line that cannot be understood.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace trireme::launch
