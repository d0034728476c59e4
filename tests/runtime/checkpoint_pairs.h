#pragma once

#include <optional>

#include "tests/runtime/saved_run.h"
#include "tests/support/model.h"

namespace trireme::runtime {

// What one layout has saved, every other one loads.
class CheckpointPairs {
 public:
  CheckpointPairs(const test::Corpus& corpus, std::filesystem::path folder)
      : corpus_(corpus), folder_(std::move(folder)) {}

  static Task task() {
    Task task{.shape = test::tiny_llama(), .steps = 3};
    task.shape.num_hidden_layers = 6;
    return task;
  }

  // Saves after three steps on `from`. The loss of the fourth step there is kept.
  void save(const Layout& from) {
    path_ = folder_ / from.name();
    TrainerOptions options = options_of(task(), from);
    options.checkpoint_interval = 3;
    const SavedRunResult saved =
        train_and_save(corpus_, {.options = options, .folder = path_, .resume = 0});
    ASSERT_EQ(saved.failure, "");
    ASSERT_EQ(saved.losses.size(), 3u);
    tensors_ = tensors_in(path_ / "step-00000003");
    options.steps = 4;
    options.checkpoint_interval = 0;
    const auto next = train_and_save(corpus_, {.options = options, .folder = path_, .resume = 3});
    ASSERT_EQ(next.losses.size(), 1u);
    loss_ = next.losses.front();
  }

  // Weights and moments must come back to the bit, and the fourth step's loss to rounding.
  void load(const Layout& to) {
    SCOPED_TRACE("saved on " + path_.filename().string() + ", loaded on " + to.name());
    // Saved again as it was loaded: a run that is at its last step already makes none.
    const std::filesystem::path copy = folder_ / "copy";
    std::filesystem::remove_all(copy);
    const TrainerOptions options = options_of(task(), to);
    save_as_loaded(options, copy);
    expect_same_bits(tensors_in(copy / "step-00000003"), tensors_);
    TrainerOptions longer = options;
    longer.steps = 4;
    const auto next = train_and_save(corpus_, {.options = longer, .folder = path_, .resume = 3});
    ASSERT_EQ(next.losses.size(), 1u);
    EXPECT_NEAR(next.losses.front(), loss_, 1e-6 * loss_);
  }

 private:
  void save_as_loaded(const TrainerOptions& options, const std::filesystem::path& copy) {
    const data::Sampler sampler = corpus_.sampler(options.sequence_length, 3);
    test::on_ranks(options.mesh.world(), [&](Communicator& world) {
      test::Device device;
      Trainer trainer(*device.backend, world, sampler, nullptr, options);
      const checkpoints::Disk disk;
      const checkpoints::Store source(path_, disk), target(copy, disk);
      checkpoints::Checkpoint from(source.path_of(3));
      trainer.state().load(from, true);
      trainer.state().adopt();
      Saver saver(*device.backend, trainer.compute(),
                  {*device.backend, world.split(0, "checkpoints")}, trainer.state(), target, disk,
                  {}, {});
      saver.save(from.manifest().state);
      saver.finish();
    });
  }

  const test::Corpus& corpus_;
  std::filesystem::path folder_, path_;
  Tensors tensors_;
  double loss_ = 0;
};

}  // namespace trireme::runtime
