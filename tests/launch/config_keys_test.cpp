#include "launch/config_keys.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "launch/toml_text.h"
#include "tests/launch/config_text.h"

namespace trireme::launch {
namespace {

TEST(ConfigKeys, SayWhatTheyAreAndWhatTheyAreFor) {
  std::set<std::string> names;
  for (const Key& key : config_keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name << " is there twice";
    EXPECT_EQ(std::ranges::count(key.name, '.'), 1) << key.name;
    EXPECT_FALSE(key.type.empty()) << key.name;
    EXPECT_FALSE(key.rule.empty()) << key.name;
    EXPECT_FALSE(key.help.empty()) << key.name;
    EXPECT_EQ(key.section() + "." + key.leaf(), key.name);
    EXPECT_TRUE(key.read) << key.name;
    EXPECT_TRUE(key.write) << key.name;
    for (const auto& text : {key.type, key.unit, key.rule, key.help}) {
      EXPECT_EQ(text.find_first_of("|\n"), std::string::npos)
          << key.name << " would break the table: " << text;
    }
  }
}

TEST(ConfigKeys, OfASectionStandTogether) {
  std::set<std::string> sections;
  std::string last;
  for (const Key& key : config_keys()) {
    if (key.section() != last) {
      EXPECT_TRUE(sections.insert(key.section()).second) << key.section();
    }
    last = key.section();
  }
}

using ConfigKeysTest = ConfigTest;

TEST_F(ConfigKeysTest, AcceptTheDefaultsTheyWrite) {
  const Config defaults;
  for (const Key& key : config_keys()) {
    const std::string value = key.write(defaults);
    if (value.empty() || value == "\"\"") continue;
    const auto loaded = load("[" + key.section() + "]\n" + key.leaf() + " = " + value + "\n");
    expect_no_problems(loaded);
    EXPECT_EQ(key.write(loaded.config), value) << key.name;
  }
}

// Values that are not the defaults, one for every key.
const std::string kEverything =
    R"toml([model]
model_type = "llama"
hidden_size = 96
intermediate_size = 200
num_hidden_layers = 3
num_attention_heads = 6
num_key_value_heads = 2
head_dim = 18
vocab_size = 300
max_position_embeddings = 512
rope_theta = 500000.1
rope_scaling = { rope_type = "llama3", factor = 4.5, low_freq_factor = 1.5, high_freq_factor = 3.25, original_max_position_embeddings = 128 }
rms_norm_eps = 1.1e-06
tie_word_embeddings = true
attention_bias = true
qk_norm = true

[data]
train = [{ path = "a", weight = 0.1 }, { path = "b c", weight = 3.0 }]
validation = [{ path = "v", weight = 1.0 }]
validation_fraction = 0.015
tokenizer = "some/tokenizer.json"
shuffle = false

[parallel]
tensor = 1
pipeline = 1
data = 5
context = 1
expert = 1
sequence = false
order = "pp-dp-cp-tp"

[precision]
compute = "bf16"
initial_loss_scale = 1024.0
loss_scale_window = 77

[optimizer]
lr = 0.1
min_lr = 1.2345678901234568e-05
lr_schedule = "wsd"
warmup_steps = 3
decay_fraction = 0.3333333333333333
beta1 = 0.8
beta2 = 0.99
eps = 1e-09
weight_decay = 0.0
clip_grad_norm = 2.5
zero_stage = 0
post_validation = true

[train]
steps = 33
global_batch_size = 20
micro_batch_size = 4
seq_length = 48
seed = 9223372036854775807
device = "cpu"
transport = "host"
deterministic = true
threads = 2
eval_interval = 7
eval_batches = 3
log_interval = 5
max_skipped_steps = 1
max_seconds = 3600.0
mfu_flops = "full"

[schedule]
kind = "1f1b"
file = "mine.txt"
virtual_stages = 1
split = [1, 2]
costs = "measured"
memory_limit = 2.5

[recompute]
mode = "selective"
layers = 2

[checkpoint]
dir = "elsewhere"
interval = 250
keep = 7
keep_every = 1000
async = false
resume = "runs/other/checkpoints"
timeout_seconds = 90.5

[trace]
steps = "10-12"

[watchdog]
timeout_seconds = 12.5

[run]
dir = "runs/everything"
)toml";

TEST_F(ConfigKeysTest, WriteEveryValueAsItWasRead) {
  const auto loaded = load(kEverything);
  expect_no_problems(loaded);
  EXPECT_EQ(resolved_toml(loaded.config), kEverything);
  for (const Key& key : config_keys()) {
    if (key.name == "model.preset" || key.name == "model.hf_config") continue;
    EXPECT_TRUE(loaded.places.contains(key.name)) << key.name << " is missing in this test";
  }
}

TEST_F(ConfigKeysTest, NameTheStepsOfATrace) {
  const auto traced = [&](const std::string& value) {
    return load("[trace]\nsteps = \"" + value + "\"\n");
  };
  EXPECT_EQ(traced("").config.trace.steps, runtime::StepRange());
  EXPECT_EQ(traced("12").config.trace.steps, (runtime::StepRange{12, 12}));
  EXPECT_EQ(load("[trace]\nsteps = 12").config.trace.steps, (runtime::StepRange{12, 12}));
  EXPECT_EQ(traced("10-109").config.trace.steps, (runtime::StepRange{10, 109}));
  for (const char* wrong : {"0", "3-2", "10-110", "a", "1-", "-1", "1-2-3", "1 - 2", "1,2"}) {
    expect_says(problem_with(traced(wrong), "trace.steps").rule, "\"10-12\", at most 100 steps");
  }
}

TEST_F(ConfigKeysTest, WriteTextsThatNeedEscapesAsTheyWereRead) {
  Config config;
  for (const char* dir : {"a \"quoted\" \\ path", "tabs\tand\nlines", "na\xc3\xafve"}) {
    config.run.dir = dir;
    const auto loaded = load(resolved_toml(config));
    expect_no_problems(loaded);
    EXPECT_EQ(loaded.config.run.dir, dir);
  }
}

TEST_F(ConfigKeysTest, WriteControlCharactersAsTheyWereRead) {
  Config config;
  config.run.dir = "bells\a, returns\r and \x7f";
  const auto loaded = load(resolved_toml(config));
  expect_no_problems(loaded);
  EXPECT_EQ(loaded.config.run.dir, config.run.dir);
}

TEST(TomlText, OfANumberIsTheShortestThatReadsBackExactly) {
  EXPECT_EQ(toml_text(std::optional(0.1)), "0.1");
  EXPECT_EQ(toml_text(std::optional(3e-4)), "3e-04");
  EXPECT_EQ(toml_text(std::optional(1e-8)), "1e-08");
  EXPECT_EQ(toml_text(std::optional(10000.0)), "10000.0");
  EXPECT_EQ(std::stod(toml_text(std::optional(1.0 / 3))), 1.0 / 3);
  EXPECT_EQ(toml_text(std::optional<double>()), "");
}

TEST(ConfigReference, IsThePageInDocs) {
  const std::string path = std::string(DOCS_FOLDER) + "/config.md";
  std::ifstream file(path);
  ASSERT_TRUE(file) << path << " cannot be read";
  std::ostringstream page;
  page << file.rdbuf();
  EXPECT_EQ(page.str(), config_reference()) << "write it again: trireme config > docs/config.md";
}

TEST(ConfigReference, NamesEveryKeyWithItsDefaultAndRule) {
  const std::string page = config_reference(), help = config_help();
  for (const Key& key : config_keys()) {
    expect_says(page, "\n## [" + key.section() + "]\n");
    expect_says(page, "| `" + key.leaf() + "` | " + key.type + " |");
    expect_says(page, key.rule + " | " + key.help);
    expect_says(help, "  " + key.name);
  }
  expect_says(page, "| `steps` | integer | `200` | steps | at least 1 |");
}

}  // namespace
}  // namespace trireme::launch
