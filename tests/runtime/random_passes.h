#pragma once

#include <random>

#include "kernels/synthetic/synthetic_backend.h"
#include "runtime/pipeline/executor.h"
#include "tests/schedules/random_schedule.h"
#include "tests/support/ranks.h"

namespace trireme::runtime {

// Passes that take random times of up to a fifth of a millisecond and hand on empty messages.
class SyntheticPasses final : public Passes {
 public:
  using Backend = kernels::SyntheticBackend;

  SyntheticPasses(Backend& backend, kernels::Stream& compute, const schedules::Schedule& schedule,
                  Executor::MessageFormat message, std::uint32_t seed = 0)
      : backend_(backend),
        compute_(compute),
        last_(schedule.placement.stages - 1),
        message_(message),
        dice_(seed) {}

  kernels::Tensor forward(int stage, int, kernels::Tensor) override { return made(stage < last_); }
  void drop(int, int) override {}
  void recompute(int, int) override { made(false); }
  kernels::Tensor backward_input(int stage, int, kernels::Tensor) override {
    return made(stage > 0);
  }
  void backward_weight(int, int) override { made(false); }
  kernels::Tensor backward(int stage, int, kernels::Tensor) override { return made(stage > 0); }

 private:
  kernels::Tensor made(bool message) {
    if (dice_() % 2 == 0) backend_.pause(compute_, 2e-4 * static_cast<double>(dice_()) * 0x1p-32);
    if (!message) return {};
    return backend_.allocate(compute_, message_.shape, message_.dtype,
                             kernels::Category::activations);
  }

  Backend& backend_;
  kernels::Stream& compute_;
  int last_;
  Executor::MessageFormat message_;
  std::mt19937 dice_;
};

// A table made by chance, with any number of slots, and at times one stream for all messages.
inline schedules::Program random_program(std::mt19937& dice) {
  const auto placement = schedules::random_placement(dice);
  const int least = placement.copies();
  const int micro_batches = schedules::between(1, 5, dice) * least;
  const auto schedule = schedules::RandomScheduler(placement, micro_batches, dice).run();
  auto program = schedules::lower(schedule, schedules::between(1, 3, dice));
  if (schedules::happens(0.3, dice)) {
    program =
        schedules::with_one_stream(std::move(program), schedules::random_costs(placement, dice));
  }
  return program;
}

// Every other seed begins twice: once to take it back.
inline void run_at_random_pace(const schedules::Program& program, std::uint32_t seed,
                               Executor::MessageFormat message) {
  test::on_ranks(program.schedule.placement.ranks, [&](Communicator& world) {
    SyntheticPasses::Backend backend({});
    const auto stream = backend.make_stream();
    Executor executor(backend, *stream, program, world, message);
    const auto passes_of = [&](std::uint32_t run) {
      return SyntheticPasses(backend, *stream, program.schedule, message,
                             seed * 64 + run * 32 + static_cast<std::uint32_t>(world.rank()));
    };
    SyntheticPasses passes = passes_of(0);
    if (seed % 2 == 0) {
      executor.run(passes);
    } else {
      SyntheticPasses tried = passes_of(1);
      executor.begin(tried);
      executor.abandon();
      executor.begin(passes);
      executor.finish(passes);
    }
    stream->synchronize();
    executor.check_messages();
  });
}

}  // namespace trireme::runtime
