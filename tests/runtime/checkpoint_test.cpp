// Runs that are saved and go on: to the bit on the same layout, to rounding on any other.
#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "checkpoints/error.h"
#include "tests/runtime/checkpoint_pairs.h"
#include "tests/support/forwarding_backend.h"

namespace trireme::runtime {
namespace {

namespace fs = std::filesystem;

class CheckpointTest : public testing::Test {
 protected:
  static std::vector<std::uint64_t> bits(const std::vector<double>& numbers) {
    std::vector<std::uint64_t> all;
    for (const double number : numbers) all.push_back(std::bit_cast<std::uint64_t>(number));
    return all;
  }

  // Forty steps at once, and in two halves, must be one run.
  void expect_same_run(TrainerOptions options, SaverOptions saver = {}) {
    options.checkpoint_interval = 10;
    options.steps = 40;
    options.learning_rate.total_steps = 40;
    const fs::path whole = folder / "whole", halves = folder / "halves";
    const auto expected =
        train_and_save(corpus, {.options = options, .folder = whole, .saver = saver});
    ASSERT_EQ(expected.losses.size(), 40u);
    options.steps = 20;
    auto found = train_and_save(corpus, {.options = options, .folder = halves, .saver = saver});
    options.steps = 40;
    const auto rest = train_and_save(
        corpus, {.options = options, .folder = halves, .resume = 20, .saver = saver});
    found.losses.insert(found.losses.end(), rest.losses.begin(), rest.losses.end());
    found.norms.insert(found.norms.end(), rest.norms.begin(), rest.norms.end());
    EXPECT_EQ(bits(found.losses), bits(expected.losses));
    EXPECT_EQ(bits(found.norms), bits(expected.norms));
    expect_same_bits(tensors_in(halves / "step-00000040"), tensors_in(whole / "step-00000040"));
  }

  test::Corpus corpus{4000, 17, testing::UnitTest::GetInstance()->current_test_info()->name()};
  fs::path folder = corpus.folder() / "checkpoints";
};

TEST_F(CheckpointTest, GoesOnToTheBitOnTheSameLayout) {
  for (const Layout& layout :
       {twelve_layouts()[0], twelve_layouts()[7], twelve_layouts()[8], twelve_layouts()[10]}) {
    SCOPED_TRACE(layout.name());
    fs::remove_all(folder);
    expect_same_run(options_of(CheckpointPairs::task(), layout));
  }
}

TEST_F(CheckpointTest, GoesOnToTheBitWrittenWhileTrainingWaits) {
  expect_same_run(options_of(CheckpointPairs::task(), {.data = 2}),
                  {.asynchronous = false, .keep = 2});
}

TEST_F(CheckpointTest, GoesOnToTheBitWithHalfPrecisionAndASkippedStep) {
  for (const auto dtype : {kernels::Dtype::bf16, kernels::Dtype::f16}) {
    fs::remove_all(folder);
    TrainerOptions options = options_of(CheckpointPairs::task(), {.pipeline = 2, .data = 2});
    options.compute = dtype;
    if (dtype == kernels::Dtype::f16) {
      // Doubles every third step until gradients overflow, and again.
      options.loss_scale = optim::LossScale::dynamic(1 << 20, 3);
    }
    expect_same_run(options);
  }
}

TEST_F(CheckpointTest, GoesOnToTheBitWithTiedTablesAndLearnedPositions) {
  Task task{.shape = test::tiny_gpt2(), .steps = 3};
  task.shape.num_hidden_layers = 3;
  expect_same_run(options_of(task, {.pipeline = 3, .data = 2}));
}

TEST_F(CheckpointTest, GoesOnToTheBitWithUpdatesThatAreTakenBack) {
  TrainerOptions options = options_of(CheckpointPairs::task(), {.pipeline = 3});
  options.post_validation = true;
  options.clip_norm = 0.9;
  expect_same_run(options);
}

// Sixteen of the pairs; the long tests have all of them.
TEST_F(CheckpointTest, AnyLayoutLoadsWhatAnotherSaved) {
  const auto layouts = twelve_layouts();
  CheckpointPairs pairs(corpus, folder);
  for (const std::size_t from : {0, 4, 8, 10}) {
    pairs.save(layouts[from]);
    for (const std::size_t to : {0, 3, 9, 11}) pairs.load(layouts[(from + to) % layouts.size()]);
  }
}

TEST_F(CheckpointTest, KeepsTheNewestAndEveryKth) {
  TrainerOptions options = options_of(CheckpointPairs::task(), {.data = 2});
  options.checkpoint_interval = 2;
  options.steps = 21;
  train_and_save(corpus,
                 {.options = options, .folder = folder, .saver = {.keep = 2, .keep_every = 8}});
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  EXPECT_EQ(names, (std::vector<std::string>{"latest", "step-00000008", "step-00000016",
                                             "step-00000020", "step-00000021"}));
  const checkpoints::Disk disk;
  EXPECT_EQ(checkpoints::Store(folder, disk).latest(), "step-00000021");
}

// Someone may be reading them: the new one is good all the same.
TEST_F(CheckpointTest, OldOnesThatCannotBeRemovedStay) {
  TrainerOptions options = options_of(CheckpointPairs::task(), {.data = 2});
  options.checkpoint_interval = 2;
  options.steps = 6;
  std::atomic<int> refusals = 0;
  const auto hook = [&](std::string_view, const fs::path& path) {
    if (!path.filename().string().starts_with(".trash-step-00000002")) return;
    ++refusals;
    throw checkpoints::CheckpointError(checkpoints::Fault::io, path.string() + ": is busy");
  };
  const auto result = train_and_save(
      corpus, {.options = options, .folder = folder, .saver = {.keep = 1}, .hook = hook});
  EXPECT_EQ(result.failure, "");
  EXPECT_GT(refusals, 0);
  for (const char* step : {"step-00000002", "step-00000006"}) {
    EXPECT_NO_THROW(checkpoints::Checkpoint(folder / step)) << step;
  }
}

// The memory for a copy of the state is asked for when it is first needed.
class ShortOfMemory final : public test::ForwardingBackend {
 public:
  ShortOfMemory(kernels::Backend& inner, bool is_short)
      : ForwardingBackend(inner), is_short_(is_short) {}

  std::shared_ptr<std::byte[]> host_memory(std::size_t bytes) override {
    if (is_short_ && bytes > kMuch) throw kernels::DeviceError("there is no more");
    return ForwardingBackend::host_memory(bytes);
  }

 private:
  static constexpr std::size_t kMuch = 10'000;
  bool is_short_;
};

TEST_F(CheckpointTest, ARankWithoutMemoryForACopyEndsAllWithTheCause) {
  SavedRun run{.options = options_of(CheckpointPairs::task(), {.data = 2}), .folder = folder};
  run.options.checkpoint_interval = 2;
  run.options.eval_interval = 0;
  const data::Sampler sampler = corpus.sampler(run.options.sequence_length, 3);
  SavedRunResult result;
  test::on_ranks(2, [&](Communicator& world) {
    test::Device device;
    ShortOfMemory backend(*device.backend, world.rank() == 1);
    run_rank(run, backend, world, sampler, result);
  });
  EXPECT_NE(result.failure.find("rank 1: no memory for a copy of the state"), std::string::npos)
      << result.failure;
  EXPECT_FALSE(fs::exists(folder / "step-00000002"));
}

TEST_F(CheckpointTest, MomentsStartAnewWithoutTheOptimizer) {
  TrainerOptions options = options_of(CheckpointPairs::task(), {.tensor = 2});
  options.checkpoint_interval = 3;
  train_and_save(corpus, {.options = options, .folder = folder});
  const Tensors before = tensors_in(folder / "step-00000003");
  options.steps = 4;
  options.learning_rate = {.peak = 1e-30, .minimum = 1e-30, .warmup_steps = 0, .total_steps = 8};
  train_and_save(corpus,
                 {.options = options, .folder = folder, .resume = 3, .with_optimizer = false});
  // After one update from zero, the first moment is a tenth of the gradient, the second a
  // twentieth of its square.
  const Tensors after = tensors_in(folder / "step-00000004");
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  const auto& first = after.at(checkpoints::first_moment_of(name));
  const auto& second = after.at(checkpoints::second_moment_of(name));
  for (std::size_t i = 0; i < first.size(); ++i) {
    const double gradient = first[i] / 0.1;
    EXPECT_NEAR(second[i], 0.05 * gradient * gradient, 1e-5 * second[i]);
  }
  EXPECT_EQ(after.at(name), before.at(name));
}

// Every step of the protocol fails once, on the first rank or the last. The run is told the cause,
// nothing half-done is visible, and what was saved before is still good.
TEST_F(CheckpointTest, AFailureAnywhereLeavesTheLastCheckpointWhole) {
  TrainerOptions options = options_of(CheckpointPairs::task(), {.data = 2});
  options.checkpoint_interval = 2;
  options.steps = 8;
  int failures = 0;
  for (int at = 0;; ++at) {
    fs::remove_all(folder);
    std::atomic<int> steps = 0;
    std::atomic<bool> armed = false;
    const auto hook = [&](std::string_view name, const fs::path& path) {
      if (path.string().find("step-00000004") != std::string::npos) armed = true;
      if (path.string().find("step-00000006") != std::string::npos) armed = false;
      if (!armed || steps++ != at) return;
      ++failures;
      throw checkpoints::CheckpointError(checkpoints::Fault::io,
                                         path.string() + ": no " + std::string(name) + " today");
    };
    const auto result =
        train_and_save(corpus, {.options = options, .folder = folder, .hook = hook});
    const checkpoints::Disk disk;
    const checkpoints::Store store(folder, disk);
    const auto kept = store.list();
    ASSERT_FALSE(kept.empty());
    for (const auto& entry : kept) {
      checkpoints::Checkpoint checkpoint(entry.path);
      for (std::size_t f = 0; f < checkpoint.manifest().files.size(); ++f) {
        checkpoint.check_file(static_cast<int>(f));
      }
    }
    if (steps <= at) {
      EXPECT_EQ(result.failure, "");
      break;
    }
    EXPECT_NE(result.failure.find("today"), std::string::npos) << result.failure;
    EXPECT_TRUE(fs::exists(store.path_of(2)));
    // Nothing later was written.
    EXPECT_FALSE(fs::exists(store.path_of(6)));
  }
  EXPECT_GT(failures, 20);
}

// What was copied is what is written, however slow the disk and whatever training does meanwhile.
TEST_F(CheckpointTest, WritesWhatWasThereWhenItWasCopied) {
  TrainerOptions options = options_of(CheckpointPairs::task(), {.data = 2});
  options.checkpoint_interval = 1;
  options.steps = 30;
  const fs::path slow = folder / "slow", still = folder / "still";
  std::atomic<unsigned> seed = 1;
  const auto hook = [&](std::string_view, const fs::path&) {
    std::minstd_rand random(seed++ * 7919);
    random.discard(3);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 1500));
  };
  train_and_save(corpus,
                 {.options = options, .folder = slow, .saver = {.keep = 100}, .hook = hook});
  train_and_save(
      corpus, {.options = options, .folder = still, .saver = {.asynchronous = false, .keep = 100}});
  const checkpoints::Disk disk;
  for (const auto& entry : checkpoints::Store(still, disk).list()) {
    expect_same_bits(tensors_in(slow / entry.path.filename()), tensors_in(entry.path));
  }
}

}  // namespace
}  // namespace trireme::runtime
