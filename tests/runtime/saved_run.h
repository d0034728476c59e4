#pragma once

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/train/saver.h"
#include "tests/runtime/layout_run.h"

namespace trireme::runtime {

// A run that saves checkpoints, or goes on from one.
struct SavedRun {
  TrainerOptions options;
  std::filesystem::path folder;  // of its checkpoints
  std::int64_t resume = 0;       // step to go on from; 0: from the beginning
  bool with_optimizer = true;
  SaverOptions saver = {};
  checkpoints::Disk::Hook hook = {};  // for every rank's disk
};

struct SavedRunResult {
  std::vector<double> losses, norms;  // of the steps it made
  std::string failure;                // of saving, as rank 0 was told
};

// One rank of such a run.
inline void run_rank(const SavedRun& run, kernels::Backend& backend, Communicator& world,
                     const data::Sampler& sampler, SavedRunResult& result) {
  Trainer trainer(backend, world, sampler, nullptr, run.options);
  const checkpoints::Disk disk(run.hook);
  const checkpoints::Store store(run.folder, disk);
  if (run.resume > 0) {
    checkpoints::Checkpoint from(store.path_of(run.resume));
    trainer.state().load(from, run.with_optimizer);
    trainer.state().adopt();
    trainer.go_on(from.manifest().state.progress);
  }
  std::atomic<bool> stop = false;
  Saver saver(backend, trainer.compute(), {backend, world.split(0, "checkpoints")}, trainer.state(),
              store, disk, run.saver, {.saved = {}, .failed = [&] { stop = true; }});
  trainer.run({.step =
                   [&](const StepRecord& record) {
                     if (world.rank() != 0) return;
                     result.losses.push_back(record.result.loss);
                     result.norms.push_back(record.result.gradient_norm);
                   },
               .evaluation = {},
               .checkpoint = [&] { saver.save({.progress = trainer.progress()}); }},
              stop);
  try {
    saver.finish();
  } catch (const std::exception& error) {
    if (world.rank() == 0) result.failure = error.what();
  }
}

inline SavedRunResult train_and_save(const test::Corpus& corpus, SavedRun run) {
  SavedRunResult result;
  run.options.eval_interval = 0;
  const data::Sampler sampler = corpus.sampler(run.options.sequence_length, 3);
  test::on_ranks(run.options.mesh.world(), [&](Communicator& world) {
    test::Device device;
    run_rank(run, *device.backend, world, sampler, result);
  });
  return result;
}

// Every tensor of a checkpoint, whole, by name.
using Tensors = std::map<std::string, std::vector<float>>;

inline Tensors tensors_in(const std::filesystem::path& folder) {
  checkpoints::Checkpoint from(folder);
  Tensors tensors;
  for (const auto& tensor : from.manifest().tensors) {
    auto& values = tensors[tensor.info.name];
    values.assign(static_cast<std::size_t>(tensor.info.size()), NAN);
    from.read(tensor, {.rows = tensor.info.rows, .columns = tensor.info.columns}, values);
  }
  return tensors;
}

inline void expect_same_bits(const Tensors& found, const Tensors& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, values] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    const auto& other = found.at(name);
    ASSERT_EQ(other.size(), values.size()) << name;
    EXPECT_EQ(std::memcmp(other.data(), values.data(), values.size() * sizeof(float)), 0) << name;
  }
}

// Twelve ways to spread a run: every dimension, every family of schedules, uneven vocabularies,
// replicated key and value heads, ZeRO on and off.
inline std::vector<Layout> twelve_layouts() {
  return {
      {},
      {.data = 2},
      {.data = 3, .zero_stage = 0},
      {.tensor = 2},
      {.tensor = 4, .sequence = false},
      {.pipeline = 2},
      {.pipeline = 3, .kind = "zb-h1"},
      {.pipeline = 2, .data = 2, .kind = "zb-v"},
      {.tensor = 2, .pipeline = 2, .data = 2, .kind = "zb-h2"},
      {.pipeline = 3, .kind = "interleaved", .virtual_stages = 2, .recompute = Recompute::full},
      {.tensor = 2, .data = 3, .zero_stage = 0, .recompute = Recompute::selective},
      {.tensor = 4, .pipeline = 2, .kind = "gpipe"},
  };
}

}  // namespace trireme::runtime
