#include "launch/config_file.h"

#include <gtest/gtest.h>

#include "tests/launch/config_text.h"

namespace trireme::launch {
namespace {

using ConfigFileTest = ConfigTest;

TEST_F(ConfigFileTest, SetsTheFieldsItNamesAndLeavesTheOthers) {
  const auto loaded = load(
      "[train]\nsteps = 7\nseq_length = 1_024\n[optimizer]\nlr = 1e-3\nlr_schedule = \"wsd\"\n");
  expect_no_problems(loaded);
  EXPECT_EQ(loaded.config.train.steps, 7);
  EXPECT_EQ(loaded.config.train.seq_length, 1024);
  EXPECT_EQ(loaded.config.optimizer.lr, 1e-3);
  EXPECT_EQ(loaded.config.optimizer.lr_schedule, optim::LearningRateSchedule::wsd);
  EXPECT_EQ(loaded.config.train.seed, Config().train.seed);
  EXPECT_EQ(loaded.place_of("train.seq_length"), line(3));
  EXPECT_EQ(loaded.place_of("train.seed"), "default");
}

TEST_F(ConfigFileTest, TakesAWholeNumberWhereANumberIsAskedFor) {
  EXPECT_EQ(load("[optimizer]\nclip_grad_norm = 1\n").config.optimizer.clip_grad_norm, 1.0);
}

TEST_F(ConfigFileTest, NamesTheNearestKeyAndTheLineOfAnUnknownOne) {
  const auto loaded = load("[train]\nsteps = 3\n\nglobal_batchsize = 8\n");
  ASSERT_EQ(loaded.problems.size(), 1u);
  EXPECT_EQ(loaded.problems[0].place, line(4));
  EXPECT_EQ(loaded.problems[0].key, "train.global_batchsize");
  EXPECT_EQ(loaded.problems[0].value, "8");
  expect_says(loaded.problems[0].rule, "train.global_batch_size");
}

TEST_F(ConfigFileTest, NamesTheKeyThatStandsInAnotherSection) {
  const auto loaded = load("[train]\nweight_decay = 0.1\n[trian]\nsteps = 4\n");
  expect_says(problem_with(loaded, "train.weight_decay").rule, "optimizer.weight_decay");
  expect_says(problem_with(loaded, "trian.steps").rule, "train.steps");
}

TEST_F(ConfigFileTest, RefusesAKeyOutsideAnySection) {
  const auto loaded = load("steps = 3\n");
  EXPECT_EQ(problem_with(loaded, "steps").place, line(1));
  expect_says(problem_with(loaded, "steps").rule, "train.steps");
}

TEST_F(ConfigFileTest, RefusesValuesOfTheWrongType) {
  const auto refused = [&](const std::string& section, const std::string& assignment,
                           const std::string& type) {
    SCOPED_TRACE(assignment);
    const auto loaded = load("[" + section + "]\n" + assignment + "\n");
    const std::string key = section + "." + assignment.substr(0, assignment.find(' '));
    const Problem problem = problem_with(loaded, key);
    EXPECT_EQ(problem.place, line(2));
    expect_says(problem.rule, type);
  };
  refused("train", "steps = \"many\"", "integer");
  refused("train", "steps = \"7\"", "integer");
  refused("train", "steps = 7.5", "integer");
  refused("train", "steps = [7]", "integer");
  refused("train", "threads = 1.5", "integer");
  refused("train", "threads = \"many\"", "auto");
  refused("train", "device = 1", "text");
  refused("data", "shuffle = 1", "true or false");
  refused("data", "shuffle = \"true\"", "true or false");
  refused("data", "tokenizer = 3", "text");
  refused("data", "train = \"corpus\"", "list");
  refused("optimizer", "lr = \"3e-4\"", "number");
  refused("optimizer", "lr = true", "number");
  refused("model", "hidden_size = 2.5", "integer");
  refused("model", "tie_word_embeddings = 1", "true or false");
  refused("model", "rope_scaling = 8", "table");
}

TEST_F(ConfigFileTest, RefusesTrueAsANumber) {
  for (const char* setting :
       {"train.steps=true", "train.threads=true", "optimizer.lr=true", "model.hidden_size=true"}) {
    EXPECT_EQ(load("", {setting}).problems.size(), 1u) << setting;
  }
}

TEST_F(ConfigFileTest, RefusesValuesOutOfRangeAndNamesTheRule) {
  const auto refused = [&](const std::string& setting, const std::string& rule) {
    SCOPED_TRACE(setting);
    const auto loaded = load("", {setting});
    expect_says(problem_with(loaded, setting.substr(0, setting.find('='))).rule, rule);
  };
  refused("train.steps=0", "at least 1");
  refused("train.steps=-3", "at least 1");
  refused("train.steps=99999999999999999999", "at least 1");
  refused("train.seed=-1", "at least 0");
  refused("train.threads=0", "1 to 4096");
  refused("optimizer.lr=0", "above 0");
  refused("optimizer.lr=nan", "above 0");
  refused("optimizer.lr=inf", "above 0");
  refused("optimizer.beta1=1.0", "below 1");
  refused("optimizer.zero_stage=2", "0 to 1");
  refused("optimizer.lr_schedule=cosinus", "\"cosine\"");
  refused("parallel.context=2", "1 in this version");
  refused("schedule.kind=zb-x", "one of \"gpipe\", \"1f1b\", \"interleaved\"");
  refused("data.validation_fraction=1", "below 1");
  refused("data.train=[{ path = \"a\", weight = 0 }]", "above 0");
  refused("data.train=[{ path = \"a\", wieght = 1 }]", "weight");
  refused("data.train=[{ weight = 1 }]", "path");
}

TEST_F(ConfigFileTest, ListsEverythingThatIsWrongWithItsLine) {
  const auto loaded =
      load("[train]\nsteps = 0\nseed = 5\nsequence_length = 8\n[optimizer]\nbeta2 = \"high\"\n");
  ASSERT_EQ(loaded.problems.size(), 3u);
  EXPECT_EQ(problem_with(loaded, "train.steps").place, line(2));
  EXPECT_EQ(problem_with(loaded, "train.sequence_length").place, line(4));
  EXPECT_EQ(problem_with(loaded, "optimizer.beta2").place, line(6));
  const std::string message = ConfigError(loaded.problems).what();
  expect_says(message, "3 problems");
  expect_says(message, line(2) + ": train.steps = 0: must be at least 1");
  expect_says(message, line(4) + ": train.sequence_length = 8");
  expect_says(message, line(6) + ": optimizer.beta2 = \"high\"");
}

TEST_F(ConfigFileTest, NamesTheLineThatIsNotTomlAndNothingElse) {
  for (const char* text : {"[train]\nsteps = 3\nseed 5\n", "[train]\nsteps = 3\nsteps = 4\n"}) {
    try {
      load(text);
      ADD_FAILURE() << "accepted " << text;
    } catch (const ConfigError& error) {
      ASSERT_EQ(error.problems.size(), 1u);
      EXPECT_EQ(error.problems[0].place, line(3));
    }
  }
}

TEST_F(ConfigFileTest, LetsASettingWinAndBeThePlace) {
  const auto loaded =
      load("[train]\nsteps = 3\n", {"train.steps=9", "train.seed=1", "train.seed=2"});
  expect_no_problems(loaded);
  EXPECT_EQ(loaded.config.train.steps, 9);
  EXPECT_EQ(loaded.config.train.seed, 2);
  EXPECT_EQ(loaded.place_of("train.steps"), "--set");
  EXPECT_EQ(problem_with(load("", {"train.steps=no"}), "train.steps").place, "--set");
}

TEST_F(ConfigFileTest, TakesDashesForUnderscoresInSettings) {
  const auto loaded = load("", {"optimizer.warmup-steps=3"});
  expect_no_problems(loaded);
  EXPECT_EQ(loaded.config.optimizer.warmup_steps, 3);
}

TEST_F(ConfigFileTest, TakesABareWordOfASettingAsText) {
  for (const char* setting :
       {"run.dir=runs/my-run", "run.dir=\"runs/my-run\"", "run.dir='runs/my-run'"}) {
    const auto loaded = load("", {setting});
    expect_no_problems(loaded);
    EXPECT_EQ(loaded.config.run.dir, "runs/my-run");
  }
  EXPECT_EQ(load("", {"train.device=cpu"}).config.train.device, Device::cpu);
  EXPECT_EQ(load("", {"parallel.data=auto"}).config.parallel.data, std::nullopt);
}

TEST_F(ConfigFileTest, TakesListsAndTablesInASetting) {
  const auto loaded = load("", {"data.train=[{ path = \"a=b\", weight = 2 }, \"c\"]"});
  expect_no_problems(loaded);
  ASSERT_EQ(loaded.config.data.train.size(), 2u);
  EXPECT_EQ(loaded.config.data.train[0].path, "a=b");
  EXPECT_EQ(loaded.config.data.train[0].weight, 2);
  EXPECT_EQ(loaded.config.data.train[1].path, "c");
  EXPECT_EQ(loaded.config.data.train[1].weight, 1);
}

TEST_F(ConfigFileTest, RefusesASettingThatIsNotAKeyAndAValue) {
  for (const char* setting : {"train.steps", "steps=3", "=3", "", "train steps 3"}) {
    const auto loaded = load("", {setting});
    ASSERT_EQ(loaded.problems.size(), 1u) << setting;
    EXPECT_EQ(loaded.problems[0].place, "--set");
    expect_says(loaded.problems[0].rule, "section.key=value");
  }
  expect_says(problem_with(load("", {"train.stepps=3"}), "train.stepps").rule, "train.steps");
  EXPECT_EQ(load("", {"train.steps="}).problems.size(), 1u);
}

TEST_F(ConfigFileTest, IsMissingInputIfItIsNotThere) {
  EXPECT_THROW(load_config(path(), {}), MissingInput);
}

TEST_F(ConfigFileTest, IsMissingInputIfItIsAFolder) {
  EXPECT_THROW(load_config(folder_.string(), {}), MissingInput);
}

}  // namespace
}  // namespace trireme::launch
