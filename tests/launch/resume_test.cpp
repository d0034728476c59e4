#include "launch/resume.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "launch/deadline.h"
#include "launch/resolve_model.h"

namespace trireme::launch {
namespace {

constexpr const char* kSaved = R"([model]
hidden_size = 32
num_hidden_layers = 2
[data]
shuffle = true
[optimizer]
lr = 1e-3
[train]
seed = 5
global_batch_size = 8
[run]
dir = "there"
)";

LoadedConfig with(const std::string& from, const std::string& to) {
  std::string text = kSaved;
  if (!from.empty()) text.replace(text.find(from), from.size(), to);
  return parse_config(text, "run.toml", {});
}

checkpoints::Manifest manifest() {
  checkpoints::Manifest made;
  made.config = kSaved;
  return made;
}

TEST(CompareWithSaved, FindsNothingWhereNothingChanged) {
  LoadedConfig loaded = with("", "");
  EXPECT_TRUE(compare_with_saved(loaded, manifest(), "step-1", {}).empty());
  EXPECT_TRUE(loaded.problems.empty());
}

TEST(CompareWithSaved, TellsWhatMayChange) {
  LoadedConfig loaded = with("lr = 1e-3", "lr = 3e-4");
  const auto changes = compare_with_saved(loaded, manifest(), "step-1", {});
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].key, "optimizer.lr");
  EXPECT_EQ(changes[0].before, "0.001");
  EXPECT_EQ(changes[0].now, "3e-04");
  EXPECT_EQ(changes[0].place, "run.toml:7");
  EXPECT_TRUE(loaded.problems.empty());
  loaded = with("dir = \"there\"", "dir = \"elsewhere\"");
  EXPECT_TRUE(compare_with_saved(loaded, manifest(), "step-1", {}).empty());
}

TEST(CompareWithSaved, RefusesWhatCannotChange) {
  const auto problems = [](const std::string& from, const std::string& to, const Reset& reset) {
    LoadedConfig loaded = with(from, to);
    compare_with_saved(loaded, manifest(), "step-1", reset);
    std::string keys;
    for (const Problem& problem : loaded.problems) keys += problem.key + " ";
    return keys;
  };
  EXPECT_EQ(problems("hidden_size = 32", "hidden_size = 64", {}), "model.hidden_size ");
  EXPECT_EQ(problems("hidden_size = 32", "hidden_size = 64", {true, true, true}),
            "model.hidden_size ");
  EXPECT_EQ(problems("seed = 5", "seed = 6", {}), "train.seed ");
  EXPECT_EQ(problems("seed = 5", "seed = 6", {.data = true}), "");
  EXPECT_EQ(problems("shuffle = true", "shuffle = false", {.optimizer = true}), "data.shuffle ");
}

TEST(Reset, NamesWhatStartsAnew) {
  const checkpoints::Progress state{
      .step = 7, .samples = 56, .tokens = 1000, .updates = 6, .skipped_steps = 1};
  EXPECT_EQ(progress_after(state, {}).step, 7);
  EXPECT_EQ(progress_after(state, {}).updates, 6);
  const auto optimizer = progress_after(state, parse_reset("optimizer"));
  EXPECT_EQ(optimizer.updates, 0);
  EXPECT_EQ(optimizer.step, 7);
  EXPECT_EQ(optimizer.samples, 56);
  const auto others = progress_after(state, parse_reset("data,schedule"));
  EXPECT_EQ(others.updates, 6);
  EXPECT_EQ(others.step, 0);
  EXPECT_EQ(others.samples, 0);
  EXPECT_THROW(parse_reset("weights"), UsageError);
}

TEST(ModelToml, IsTheSectionThatSaysSo) {
  const models::Shape shape = models::preset("llama3-8b");
  LoadedConfig loaded = parse_config(model_toml(shape), "here", {});
  EXPECT_EQ(loaded.problems.size(), 0u);
  const models::Shape found = resolve_model(loaded);
  EXPECT_EQ(found.hidden_size, shape.hidden_size);
  EXPECT_EQ(found.num_key_value_heads, shape.num_key_value_heads);
  EXPECT_EQ(found.rope_theta, shape.rope_theta);
  EXPECT_EQ(found.norm_eps, shape.norm_eps);
}

TEST(Deadline, LeavesTimeForASave) {
  EXPECT_FALSE(Deadline(0).exists());
  EXPECT_FALSE(Deadline(0).is_due(1e9, 1e9));
  const Deadline soon(100);
  EXPECT_NEAR(soon.left(), 100, 1);
  EXPECT_FALSE(soon.is_due(1, 10));  // two steps, three saves, the end
  EXPECT_TRUE(soon.is_due(40, 10));
  EXPECT_TRUE(soon.is_due(1, 40));
  EXPECT_FALSE(soon.is_due(1, 0));  // no save has been timed yet
  setenv("SLURM_JOB_END_TIME", std::to_string(time(nullptr) + 30).c_str(), 1);
  EXPECT_NEAR(Deadline(0).left(), 30, 2);
  EXPECT_NEAR(Deadline(10).left(), 10, 1);
  EXPECT_NEAR(Deadline(100).left(), 30, 2);
  unsetenv("SLURM_JOB_END_TIME");
}

}  // namespace
}  // namespace trireme::launch
