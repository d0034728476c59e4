#include "launch/resolve.h"

#include <algorithm>
#include <array>
#include <map>
#include <sstream>

#include "launch/numbers_text.h"
#include "launch/resolve_model.h"
#include "launch/resolve_pipeline.h"
#include "launch/toml_text.h"

namespace trireme::launch {
namespace {

using runtime::Axis;
using runtime::MeshShape;

// The multiples of `step` on either side of `value`, which is none.
std::string neighbors(std::int64_t value, std::int64_t step) {
  const std::int64_t below = value / step * step;
  return below > 0 ? listed({below, below + step}) : listed({below + step});
}

std::array<Axis, runtime::kAxes> resolve_order(LoadedConfig& loaded) {
  static const std::map<std::string, Axis> names{
      {"tp", Axis::tensor}, {"cp", Axis::context}, {"dp", Axis::data}, {"pp", Axis::pipeline}};
  std::vector<Axis> order;
  std::istringstream parts(loaded.config.parallel.order + "-end");
  for (std::string part; std::getline(parts, part, '-') && part != "end";) {
    const auto found = names.find(part);
    const bool repeated = found != names.end() && std::ranges::count(order, found->second);
    if (found == names.end() || repeated) order.resize(runtime::kAxes + 1);
    if (order.size() <= runtime::kAxes) order.push_back(found->second);
  }
  std::array<Axis, runtime::kAxes> result = MeshShape().order;
  if (order.size() != result.size()) {
    loaded.reject("parallel.order",
                  "must name tp, cp, dp and pp once each, joined by -, such as tp-cp-dp-pp");
    return result;
  }
  std::ranges::copy(order, result.begin());
  return result;
}

// Makes data * tensor * pipeline * context the number of ranks, or says why it cannot be.
void share_out_ranks(LoadedConfig& loaded, int world) {
  ParallelSection& parallel = loaded.config.parallel;
  const std::int64_t model_ranks = parallel.tensor * parallel.pipeline * parallel.context;
  if (world % model_ranks != 0) {
    loaded.reject("parallel.tensor",
                  "tensor * pipeline * context = " + std::to_string(model_ranks) +
                      " must divide the number of ranks, " + std::to_string(world));
  } else if (!parallel.data) {
    parallel.data = world / model_ranks;
  } else if (*parallel.data * model_ranks != world) {
    loaded.reject("parallel.data",
                  "data * tensor * pipeline * context must be the number of ranks, " +
                      std::to_string(world) + ": set it to " + std::to_string(world / model_ranks) +
                      " or \"auto\", or start " + std::to_string(*parallel.data * model_ranks) +
                      " ranks");
  }
}

MeshShape resolve_mesh(LoadedConfig& loaded, int world) {
  const ParallelSection& parallel = loaded.config.parallel;
  MeshShape mesh;
  mesh.order = resolve_order(loaded);
  if (!loaded.sound({"parallel.tensor", "parallel.pipeline", "parallel.context", "parallel.data"}))
    return mesh;
  if (ranks_asked_for(parallel) > kMostRanks) {
    loaded.reject("parallel.tensor", "data * tensor * pipeline * context must be at most " +
                                         std::to_string(kMostRanks) + " ranks");
    return mesh;
  }
  share_out_ranks(loaded, world);
  mesh.sizes[static_cast<std::size_t>(Axis::tensor)] = static_cast<int>(parallel.tensor);
  mesh.sizes[static_cast<std::size_t>(Axis::context)] = static_cast<int>(parallel.context);
  mesh.sizes[static_cast<std::size_t>(Axis::pipeline)] = static_cast<int>(parallel.pipeline);
  mesh.sizes[static_cast<std::size_t>(Axis::data)] = static_cast<int>(parallel.data.value_or(1));
  return mesh;
}

void check_batch(LoadedConfig& loaded, const MeshShape& mesh) {
  if (!loaded.sound({"train.global_batch_size", "train.micro_batch_size"})) return;
  const TrainSection& train = loaded.config.train;
  const std::int64_t ranks = mesh.size(Axis::data);
  const std::int64_t step = train.micro_batch_size * ranks;
  if (train.global_batch_size % step != 0) {
    loaded.reject("train.global_batch_size",
                  "must be a multiple of micro_batch_size * data-parallel ranks = " +
                      std::to_string(train.micro_batch_size) + " * " + std::to_string(ranks) +
                      " = " + std::to_string(step) +
                      "; nearest: " + neighbors(train.global_batch_size, step));
  }
}

// The default would refuse runs of a few steps, which are the first that people try.
void shorten_default_warmup(LoadedConfig& loaded) {
  OptimizerSection& optimizer = loaded.config.optimizer;
  if (loaded.places.contains("optimizer.warmup_steps")) return;
  if (optimizer.warmup_steps > loaded.config.train.steps) {
    optimizer.warmup_steps = loaded.config.train.steps / 10;
  }
}

void check_optimizer(LoadedConfig& loaded) {
  const OptimizerSection& optimizer = loaded.config.optimizer;
  if (loaded.sound({"optimizer.min_lr", "optimizer.lr"}) && optimizer.min_lr > optimizer.lr) {
    loaded.reject("optimizer.min_lr",
                  "must be at most optimizer.lr = " + toml_text(std::optional(optimizer.lr)));
  }
  if (loaded.sound({"optimizer.warmup_steps", "train.steps"}) &&
      optimizer.warmup_steps > loaded.config.train.steps) {
    loaded.reject("optimizer.warmup_steps",
                  "must be at most train.steps = " + std::to_string(loaded.config.train.steps));
  }
}

// The decay of wsd must not begin before the warm-up ends.
void check_decay(LoadedConfig& loaded) {
  const OptimizerSection& optimizer = loaded.config.optimizer;
  if (optimizer.lr_schedule != optim::LearningRateSchedule::wsd) return;
  if (!loaded.sound({"optimizer.decay_fraction", "optimizer.warmup_steps", "train.steps"})) return;
  const auto steps = static_cast<double>(loaded.config.train.steps);
  if (static_cast<double>(optimizer.warmup_steps) > (1 - optimizer.decay_fraction) * steps) {
    loaded.reject("optimizer.decay_fraction",
                  "must leave room for warmup_steps = " + std::to_string(optimizer.warmup_steps) +
                      " of " + std::to_string(loaded.config.train.steps) + " steps");
  }
}

void check_resume(LoadedConfig& loaded) {
  if (!loaded.config.checkpoint.resume.empty()) return;
  loaded.reject("checkpoint.resume", "must be \"auto\", \"never\" or a path");
}

void check_data(LoadedConfig& loaded, const models::Shape& shape) {
  const DataSection& data = loaded.config.data;
  if (data.train.empty() && !loaded.rejected("data.train")) {
    loaded.reject("data.train",
                  "is required: [{ path = \"PREFIX\" }]; trireme data build makes token files");
  }
  if (!data.validation.empty() && data.validation_fraction > 0) {
    loaded.reject("data.validation_fraction", "cannot be given together with data.validation");
  }
  if (loaded.sound({"data.tokenizer", "model.vocab_size"}) && data.tokenizer == "bytes" &&
      shape.vocab_size > 0 && shape.vocab_size < 257) {
    loaded.reject(
        "model.vocab_size",
        "must be at least 257 for data.tokenizer = \"bytes\": 256 bytes and end-of-document");
  }
}

void check_trace(LoadedConfig& loaded) {
  const std::int64_t steps = loaded.config.train.steps;
  if (loaded.sound({"trace.steps", "train.steps"}) && loaded.config.trace.steps.first > steps) {
    loaded.reject("trace.steps", "must begin by train.steps = " + std::to_string(steps));
  }
}

kernels::Dtype resolve_compute(PrecisionSection& precision, Device device) {
  if (precision.compute == Compute::automatic) {
    precision.compute = device == Device::cuda ? Compute::bf16 : Compute::fp32;
  }
  switch (precision.compute) {
    case Compute::bf16: return kernels::Dtype::bf16;
    case Compute::fp16: return kernels::Dtype::f16;
    default: return kernels::Dtype::f32;
  }
}

}  // namespace

double ranks_asked_for(const ParallelSection& parallel) {
  const auto product = [](std::initializer_list<std::int64_t> sizes) {
    double ranks = 1;
    for (const std::int64_t size : sizes) ranks *= static_cast<double>(size);
    return ranks;
  };
  return product({parallel.tensor, parallel.pipeline, parallel.context, parallel.data.value_or(1)});
}

runtime::TrainerOptions resolve(LoadedConfig& loaded, int world) {
  Config& config = loaded.config;
  runtime::TrainerOptions options;
  options.model = resolve_model(loaded);
  options.mesh = resolve_mesh(loaded, world);
  check_batch(loaded, options.mesh);
  shorten_default_warmup(loaded);
  check_optimizer(loaded);
  check_decay(loaded);
  check_trace(loaded);
  check_resume(loaded);
  check_data(loaded, options.model);
  check_tensor(loaded, options.model);
  options.compute = resolve_compute(config.precision, config.train.device);
  options.sequence_length = config.train.seq_length;
  options.global_batch = config.train.global_batch_size;
  options.micro_batch = config.train.micro_batch_size;
  options.steps = config.train.steps;
  options.eval_interval = config.train.eval_interval;
  options.eval_batches = config.train.eval_batches;
  options.max_skipped_steps = config.train.max_skipped_steps;
  options.checkpoint_interval = config.checkpoint.interval;
  options.seed = static_cast<std::uint64_t>(config.train.seed);
  options.deterministic = config.train.deterministic;
  options.learning_rate = {.schedule = config.optimizer.lr_schedule,
                           .peak = config.optimizer.lr,
                           .minimum = config.optimizer.min_lr,
                           .warmup_steps = config.optimizer.warmup_steps,
                           .total_steps = config.train.steps,
                           .decay_fraction = config.optimizer.decay_fraction};
  options.clip_norm = config.optimizer.clip_grad_norm;
  // One stage knows all gradients.
  options.post_validation = config.optimizer.post_validation && config.parallel.pipeline > 1;
  if (config.precision.compute == Compute::fp16) {
    options.loss_scale = optim::LossScale::dynamic(config.precision.initial_loss_scale,
                                                   config.precision.loss_scale_window);
  }
  options.data_parallel = {.zero_stage = static_cast<int>(config.optimizer.zero_stage),
                           .adamw = {.beta1 = config.optimizer.beta1,
                                     .beta2 = config.optimizer.beta2,
                                     .epsilon = config.optimizer.eps,
                                     .weight_decay = config.optimizer.weight_decay}};
  options.sequence_parallel = config.parallel.sequence;
  options.recompute = config.recompute.mode;
  options.recompute_layers = config.recompute.layers;
  if (!loaded.any_rejected("model")) {
    options.costs = runtime::pass_flops(options.model, options.sequence_length);
  }
  resolve_pipeline(loaded, options);
  return options;
}

}  // namespace trireme::launch
