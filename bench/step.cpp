#include "bench/step.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>

#include "data/token_file_writer.h"
#include "models/work.h"
#include "runtime/train/trainer.h"
#include "schedules/catalog.h"
#include "schedules/passes.h"

namespace trireme::bench {
namespace {

// Random tokens in a folder that goes away.
class RandomTokens {
 public:
  RandomTokens(std::int64_t tokens, std::int64_t vocab_size, int rank)
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
  RandomTokens(const RandomTokens&) = delete;
  RandomTokens& operator=(const RandomTokens&) = delete;
  ~RandomTokens() { std::filesystem::remove_all(folder_); }

  std::string prefix() const { return (folder_ / "tokens").string(); }

 private:
  std::filesystem::path folder_;
};

}  // namespace

StepTimes run_steps(kernels::Backend& backend, runtime::Communicator& world,
                    const StepOptions& options) {
  const int replicas = world.size() / (options.tensor * options.pipeline);
  const std::int64_t global_batch = options.micro_batch * options.micro_batches * replicas;
  const std::int64_t tokens_per_step = global_batch * options.sequence_length;
  const RandomTokens tokens(4 * tokens_per_step + 1, options.model.vocab_size, world.rank());
  const auto file = data::open_token_file(tokens.prefix());
  const data::Sampler sampler({.sources = {{file, 1.0, 0, file->tokens()}},
                               .sequence_length = options.sequence_length,
                               .seed = 1});
  runtime::TrainerOptions training;
  training.model = options.model;
  const auto set = [&](runtime::Axis axis, int size) {
    training.mesh.sizes[static_cast<std::size_t>(axis)] = size;
  };
  set(runtime::Axis::tensor, options.tensor);
  set(runtime::Axis::pipeline, options.pipeline);
  set(runtime::Axis::data, replicas);
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
      training.schedule, training.costs.of(training.stages, options.pipeline),
      schedules::Objective::makespan);
  training.sequence_length = options.sequence_length;
  training.global_batch = global_batch;
  training.micro_batch = options.micro_batch;
  training.steps = options.warmup + options.steps;
  training.learning_rate = {.peak = 3e-4, .total_steps = training.steps};
  runtime::Trainer trainer(backend, world, sampler, nullptr, training);
  StepTimes times{
      .seconds = {},
      .tokens_per_step = tokens_per_step,
      .flops_per_token = models::training_flops(options.model, options.sequence_length).causal};
  const auto observe = [&](const runtime::StepRecord& record) {
    if (record.step == 1) times.first_loss = record.result.loss;
    times.last_loss = record.result.loss;
    if (record.step > options.warmup) times.seconds.push_back(record.seconds);
  };
  const std::atomic<bool> stop = false;
  trainer.run({.step = observe, .evaluation = [](std::int64_t, double) {}}, stop);
  return times;
}

}  // namespace trireme::bench
