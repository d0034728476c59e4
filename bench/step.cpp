#include "bench/step.h"

#include <atomic>

#include "models/work.h"

namespace trireme::bench {

StepTimes run_steps(kernels::Backend& backend, runtime::Communicator& world,
                    const StepOptions& options) {
  const std::int64_t tokens_per_step = options.global_batch(world.size()) * options.sequence_length;
  const RandomTokens tokens(4 * tokens_per_step + 1, options.model.vocab_size, world.rank());
  const data::Sampler sampler = tokens.sampler(options.sequence_length);
  runtime::Trainer trainer(backend, world, sampler, nullptr,
                           training_options(options, world.size()));
  StepTimes times{
      .seconds = {},
      .host_seconds = {},
      .tokens_per_step = tokens_per_step,
      .flops_per_token = models::training_flops(options.model, options.sequence_length).causal};
  const auto observe = [&](const runtime::StepRecord& record) {
    if (record.step == 1) times.first_loss = record.result.loss;
    times.peak_memory = record.memory.total.peak;
    times.reserved_memory = record.memory.reserved;
    times.last_loss = record.result.loss;
    if (record.step <= options.warmup) return;
    times.seconds.push_back(record.seconds);
    times.host_seconds.push_back(record.host_seconds);
  };
  const std::atomic<bool> stop = false;
  trainer.run({.step = observe, .evaluation = [](std::int64_t, double) {}}, stop);
  return times;
}

}  // namespace trireme::bench
