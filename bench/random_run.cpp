#include "bench/random_run.h"

#include <unistd.h>

#include "data/token_file_writer.h"
#include "schedules/catalog.h"
#include "schedules/passes.h"

namespace trireme::bench {

RandomTokens::RandomTokens(std::int64_t tokens, std::int64_t vocab_size, int rank)
    : folder_(std::filesystem::temp_directory_path() /
              ("trireme-bench-" + std::to_string(getpid()) + "-" + std::to_string(rank))) {
  std::filesystem::create_directories(folder_);
  data::TokenFileWriter writer(prefix(), vocab_size);
  std::vector<std::int32_t> document;
  std::uint64_t state = 1;
  for (std::int64_t i = 0; i < tokens; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    document.push_back(
        static_cast<std::int32_t>((state >> 33) % static_cast<std::uint64_t>(vocab_size)));
  }
  writer.add_document(document);
  writer.finish();
}

RandomTokens::~RandomTokens() { std::filesystem::remove_all(folder_); }

std::int64_t StepOptions::global_batch(int ranks) const {
  return micro_batch * micro_batches * (ranks / (tensor * pipeline));
}

runtime::TrainerOptions training_options(const StepOptions& options, int ranks) {
  runtime::TrainerOptions training;
  training.model = options.model;
  const auto set = [&](runtime::Axis axis, int size) {
    training.mesh.sizes[static_cast<std::size_t>(axis)] = size;
  };
  set(runtime::Axis::tensor, options.tensor);
  set(runtime::Axis::pipeline, options.pipeline);
  set(runtime::Axis::data, ranks / (options.tensor * options.pipeline));
  schedules::Request request;
  request.kind = options.schedule;
  request.shape = {.ranks = options.pipeline,
                   .micro_batches = static_cast<int>(options.micro_batches),
                   .virtual_stages = schedules::usual_virtual_stages(
                       schedules::kind_named(options.schedule), options.pipeline,
                       options.model.num_hidden_layers)};
  training.schedule = schedules::make_schedule(request);
  training.costs = runtime::pass_flops(options.model, options.sequence_length);
  training.stages = models::split_layers(options.model, training.schedule.placement.stages,
                                         training.costs.whole());
  training.schedule = schedules::merge_free_splits(
      schedules::take_pairs_apart(training.schedule),
      training.costs.of(training.stages, options.pipeline), schedules::Objective::makespan);
  training.compute = options.compute;
  training.recompute = options.recompute;
  training.deterministic = options.deterministic;
  if (options.compute == kernels::Dtype::f16) {
    training.loss_scale = optim::LossScale::dynamic(65536, 1000);
  }
  training.sequence_length = options.sequence_length;
  training.global_batch = options.global_batch(ranks);
  training.micro_batch = options.micro_batch;
  training.steps = options.warmup + options.steps;
  training.learning_rate = {.peak = 3e-4, .total_steps = training.steps};
  return training;
}

}  // namespace trireme::bench
