#include "runtime/train/trainer.h"

#include <chrono>

namespace trireme::runtime {

Trainer::Trainer(kernels::Backend& backend, Communicator& world, const data::Sampler& train,
                 const data::Sampler* validation, TrainerOptions options)
    : backend_(backend),
      options_(options),
      mesh_(world, options.mesh),
      compute_(backend.make_stream()),
      train_(train, split()) {
  Communicator& group = mesh_.group(Axis::data);
  buffers_ = std::make_unique<ParameterBuffers>(
      backend, *compute_, models::parameter_table(options.model),
      ParameterBuffers::Options{.dtype = options.compute,
                                .shards = group.size(),
                                .bucket_elements = options.bucket_elements});
  data_parallel_ =
      std::make_unique<DataParallel>(backend, *compute_, *buffers_, group, options.data_parallel);
  data_parallel_->initialize(options.seed);
  const StageLayers whole{.first = 0,
                          .count = static_cast<int>(options.model.num_hidden_layers),
                          .embedding = true,
                          .head = true};
  stage_ = std::make_unique<Stage>(backend, *compute_, *buffers_, options.model, whole,
                                   options.sequence_length);
  step_ = std::make_unique<TrainingStep>(backend, *compute_, *stage_, *data_parallel_,
                                         options.clip_norm, options.loss_scale);
  if (validation) validation_.emplace(*validation, split());
}

Outcome Trainer::run(const TrainerObserver& observer, const std::atomic<bool>& stop) {
  const Outcome outcome = run_steps(observer, stop);
  // However it ended, the parameters are those of the last update everywhere.
  data_parallel_->synchronize();
  return outcome;
}

Outcome Trainer::run_steps(const TrainerObserver& observer, const std::atomic<bool>& stop) {
  StepRecord record;
  std::int64_t skipped_in_a_row = 0;
  for (record.step = 1; record.step <= options_.steps; ++record.step) {
    const auto start = std::chrono::steady_clock::now();
    record.learning_rate = options_.learning_rate.at(record.step);
    record.result =
        step_->run(train_, (record.step - 1) * options_.global_batch, record.learning_rate, stop);
    record.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    record.skipped_steps += record.result.skipped;
    record.memory = backend_.memory();
    observer.step(record);
    skipped_in_a_row = record.result.skipped ? skipped_in_a_row + 1 : 0;
    if (skipped_in_a_row > options_.max_skipped_steps) return Outcome::diverged;
    if (record.result.stop) return Outcome::stopped;
    const bool last = record.step == options_.steps;
    if (validation_ && options_.eval_interval > 0 &&
        (last || record.step % options_.eval_interval == 0)) {
      evaluate(record.step, observer);
    }
  }
  return Outcome::finished;
}

BatchSplit Trainer::split() const {
  return {.global_batch = options_.global_batch,
          .micro_batch = options_.micro_batch,
          .data_rank = mesh_.coordinate(Axis::data),
          .data_ranks = mesh_.shape().size(Axis::data)};
}

void Trainer::evaluate(std::int64_t step, const TrainerObserver& observer) {
  double total = 0;
  for (std::int64_t batch = 0; batch < options_.eval_batches; ++batch) {
    // The same samples every time, so that evaluations compare.
    total += step_->evaluate(*validation_, batch * options_.global_batch);
  }
  observer.evaluation(step, total / static_cast<double>(options_.eval_batches));
}

}  // namespace trireme::runtime
