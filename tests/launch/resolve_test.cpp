#include "launch/resolve.h"

#include <gtest/gtest.h>

#include <fstream>

#include "models/parameters.h"
#include "tests/launch/resolve_cases.h"

namespace trireme::launch {
namespace {

using runtime::Axis;

TEST_F(ResolveTest, FillsInWhatASmallRunLeavesOpen) {
  const auto [loaded, options] = resolved(kSmallRun, {}, 4);
  expect_no_problems(loaded);
  EXPECT_EQ(options.model.num_key_value_heads, 4);
  EXPECT_EQ(options.model.head_dim, 16);
  EXPECT_EQ(options.mesh.size(Axis::data), 4);
  EXPECT_EQ(options.mesh.world(), 4);
  EXPECT_EQ(loaded.config.parallel.data, 4);
  EXPECT_EQ(options.compute, kernels::Dtype::f32);
}

TEST_F(ResolveTest, HandsEverySettingToTheTrainer) {
  const auto [loaded, options] = resolved(kSmallRun,
                                          {"train.steps=50",
                                           "train.seq_length=64",
                                           "train.global_batch_size=24",
                                           "train.micro_batch_size=3",
                                           "train.eval_interval=9",
                                           "train.eval_batches=5",
                                           "train.max_skipped_steps=6",
                                           "train.seed=77",
                                           "optimizer.lr=1e-2",
                                           "optimizer.min_lr=1e-3",
                                           "optimizer.lr_schedule=wsd",
                                           "optimizer.warmup_steps=11",
                                           "optimizer.decay_fraction=0.4",
                                           "optimizer.beta1=0.7",
                                           "optimizer.beta2=0.8",
                                           "optimizer.eps=1e-6",
                                           "optimizer.weight_decay=0.3",
                                           "optimizer.clip_grad_norm=2",
                                           "optimizer.zero_stage=0",
                                           "precision.compute=fp16",
                                           "precision.initial_loss_scale=512",
                                           "precision.loss_scale_window=2"},
                                          2);
  expect_no_problems(loaded);
  EXPECT_EQ(options.steps, 50);
  EXPECT_EQ(options.sequence_length, 64);
  EXPECT_EQ(options.global_batch, 24);
  EXPECT_EQ(options.micro_batch, 3);
  EXPECT_EQ(options.eval_interval, 9);
  EXPECT_EQ(options.eval_batches, 5);
  EXPECT_EQ(options.max_skipped_steps, 6);
  EXPECT_EQ(options.seed, 77u);
  EXPECT_EQ(options.learning_rate.schedule, optim::LearningRateSchedule::wsd);
  EXPECT_EQ(options.learning_rate.peak, 1e-2);
  EXPECT_EQ(options.learning_rate.minimum, 1e-3);
  EXPECT_EQ(options.learning_rate.warmup_steps, 11);
  EXPECT_EQ(options.learning_rate.total_steps, 50);
  EXPECT_EQ(options.learning_rate.decay_fraction, 0.4);
  EXPECT_EQ(options.clip_norm, 2);
  EXPECT_EQ(options.compute, kernels::Dtype::f16);
  EXPECT_EQ(options.loss_scale.value(), 512);
  EXPECT_EQ(options.data_parallel.zero_stage, 0);
  EXPECT_EQ(options.data_parallel.adamw.beta1, 0.7);
  EXPECT_EQ(options.data_parallel.adamw.beta2, 0.8);
  EXPECT_EQ(options.data_parallel.adamw.epsilon, 1e-6);
  EXPECT_EQ(options.data_parallel.adamw.weight_decay, 0.3);
}

TEST_F(ResolveTest, ScalesTheLossOfHalfPrecisionOnly) {
  for (const auto& [compute, scale] :
       {std::pair{"fp32", 1.0}, {"bf16", 1.0}, {"fp16", 65536.0}, {"auto", 1.0}}) {
    const auto [loaded, options] =
        resolved(kSmallRun, {std::string("precision.compute=") + compute});
    EXPECT_EQ(options.loss_scale.value(), scale) << compute;
  }
}

TEST_F(ResolveTest, RefusesATraceOfStepsThatTheRunDoesNotHave) {
  expect_says(problem("trace.steps", {"train.steps=40", "trace.steps=\"41-42\""}).rule,
              "must begin by train.steps = 40");
  expect_no_problems(resolved(kSmallRun, {"train.steps=40", "trace.steps=\"40-42\""}).loaded);
}

TEST_F(ResolveTest, ListsTheNearestBatchesThatAreShared) {
  const Problem odd = problem("train.global_batch_size",
                              {"train.global_batch_size=25", "train.micro_batch_size=4"}, 2);
  EXPECT_EQ(odd.place, "--set");
  EXPECT_EQ(odd.value, "25");
  expect_says(odd.rule, "4 * 2 = 8; nearest: 24, 32");
  const Problem small = problem("train.global_batch_size",
                                {"train.global_batch_size=3", "train.micro_batch_size=4"}, 2);
  expect_says(small.rule, "nearest: 8");
  EXPECT_EQ(problem("train.global_batch_size", {"train.micro_batch_size=3"}).place, "default");
}

TEST_F(ResolveTest, NamesTheReplicasAndTheRanksThatWouldFit) {
  const Problem found = problem("parallel.data", {"parallel.data=2"}, 3);
  expect_says(found.rule, "3");
  expect_says(found.rule, "set it to 3 or \"auto\", or start 2 ranks");
}

TEST_F(ResolveTest, OrdersTheAxesAsTheUserSays) {
  const auto [loaded, options] = resolved(kSmallRun, {"parallel.order=pp-dp-cp-tp"});
  expect_no_problems(loaded);
  EXPECT_EQ(options.mesh.order,
            (std::array{Axis::pipeline, Axis::data, Axis::context, Axis::tensor}));
  for (const char* order :
       {"tp-cp-dp", "tp-cp-dp-dp", "tp-cp-dp-xx", "tp,cp,dp,pp", "tp-cp-dp-pp-tp"}) {
    expect_says(problem("parallel.order", {std::string("parallel.order=") + order}).rule,
                "tp-cp-dp-pp");
  }
}

TEST_F(ResolveTest, RefusesAnOrderThatEndsInADash) {
  problem("parallel.order", {"parallel.order=tp-cp-dp-pp-"});
}

TEST_F(ResolveTest, ChangesSinglePartsOfAPreset) {
  const auto [loaded, options] =
      resolved("", {"model.preset=llama3-8b", "model.num_hidden_layers=2", "model.vocab_size=257",
                    "data.train=[\"corpus\"]"});
  expect_no_problems(loaded);
  models::Shape expected = models::preset("llama3-8b");
  expected.num_hidden_layers = 2;
  expected.vocab_size = 257;
  EXPECT_EQ(models::parameter_count(options.model), models::parameter_count(expected));
  EXPECT_EQ(models::rope_frequencies(options.model), models::rope_frequencies(expected));
}

// One value is wrong, and others are fine with any right one in its place.
TEST_F(ResolveTest, JudgesNothingByAValueThatIsWrong) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases{
      {"train.micro_batch_size", {"train.micro_batch_size=0", "train.global_batch_size=33"}},
      {"train.seq_length", {"train.seq_length=-1", "model.max_position_embeddings=128"}},
      {"optimizer.lr", {"optimizer.lr=-1", "optimizer.min_lr=1"}},
      {"optimizer.warmup_steps", {"optimizer.warmup_steps=-1", "train.steps=5"}},
      {"train.steps", {"train.steps=0", "optimizer.warmup_steps=300", "trace.steps=\"201-202\""}},
      {"model.hidden_size", {"model.hidden_size=0", "model.num_attention_heads=7"}},
      {"model.head_dim", {"model.head_dim=0", "model.num_attention_heads=7"}},
      {"model.num_key_value_heads", {"model.num_key_value_heads=0"}},
      {"model.max_position_embeddings",
       {"model.model_type=gpt2", "model.max_position_embeddings=-5"}},
      {"schedule.kind",
       {"schedule.kind=zb-vv", "schedule.virtual_stages=2", "parallel.pipeline=2"}},
      {"schedule.virtual_stages",
       {"schedule.virtual_stages=0", "schedule.split=[1,1,0,0]", "parallel.pipeline=2",
        "schedule.kind=interleaved"}},
      {"schedule.split", {"schedule.split=[9,-1]", "parallel.pipeline=2"}},
      {"parallel.tensor", {"parallel.tensor=0", "parallel.data=1"}},
      {"model.preset",
       {"model.preset=x", "schedule.kind=interleaved", "parallel.pipeline=2",
        "schedule.split=[1,1,1,1]"}}};
  for (const auto& [key, settings] : cases) {
    SCOPED_TRACE(key);
    problem(key, settings, 2);
  }
}

TEST_F(ResolveTest, RefusesMoreRanksThanCanBe) {
  for (const std::string sizes : {"pipeline=65536", "data=1048576"}) {
    const auto loaded = resolved(kSmallRun, {"parallel.tensor=65536", "parallel." + sizes}).loaded;
    const auto found = problems_with(loaded, "parallel.tensor");
    ASSERT_EQ(found.size(), 2u);
    expect_says(found[0].rule, "at most 1048576 ranks");
    expect_says(found[1].rule, "valid: 1, 2, 4");
  }
}

TEST_F(ResolveTest, NamesThePresetsIfThereIsNoneOfThatName) {
  const auto [loaded, options] =
      resolved("[model]\npreset = \"llama\"\n[data]\ntrain = [\"corpus\"]\n");
  const Problem found = problem_with(loaded, "model.preset");
  EXPECT_EQ(found.place, line(2));
  for (const auto& name : models::preset_names()) expect_says(found.rule, name);
}

TEST_F(ResolveTest, SaysOnceThatAPresetIsUnknown) {
  const auto [loaded, options] =
      resolved("[model]\npreset = \"llama\"\n[data]\ntrain = [\"corpus\"]\n");
  EXPECT_EQ(loaded.problems.size(), 1u) << ConfigError(loaded.problems).what();
}

TEST_F(ResolveTest, ReadsTheShapeOfAHuggingFaceFolder) {
  std::ofstream(folder_ / "config.json")
      << R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300,
    "max_position_embeddings": 512, "rope_theta": 5000.0, "rms_norm_eps": 1e-06, "tie_word_embeddings": true})";
  const auto [loaded, options] = resolved("", {"model.hf_config=" + folder_.string(),
                                               "data.train=[\"corpus\"]", "model.vocab_size=400"});
  expect_no_problems(loaded);
  EXPECT_EQ(options.model.num_key_value_heads, 2);
  EXPECT_EQ(options.model.vocab_size, 400);
  EXPECT_EQ(options.model.rope_theta, 5000.0);
  EXPECT_TRUE(options.model.tie_word_embeddings);
}

TEST_F(ResolveTest, SaysWhichSizesAreMissing) {
  const auto [loaded, options] = resolved("[data]\ntrain = [\"corpus\"]\n");
  EXPECT_EQ(loaded.problems.size(), 5u);
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "vocab_size"}) {
    expect_says(problem_with(loaded, std::string("model.") + key).rule, "required");
  }
}

TEST_F(ResolveTest, SaysOnceThatASizeIsOfTheWrongType) {
  std::string text = kSmallRun;
  const auto [loaded, options] = resolved(text.replace(text.find("64"), 2, "\"big\""));
  EXPECT_EQ(loaded.problems.size(), 1u) << ConfigError(loaded.problems).what();
}

TEST_F(ResolveTest, RefusesModelsThatCannotBeBuilt) {
  expect_says(problem("model.num_attention_heads", {"model.num_attention_heads=5"}).rule,
              "1, 2, 4, 8, 16, 32, 64");
  expect_says(problem("model.num_key_value_heads", {"model.num_key_value_heads=3"}).rule,
              "1, 2, 4");
  expect_says(problem("model.head_dim", {"model.head_dim=15"}).rule, "even");
  expect_says(problem("train.seq_length", {"model.max_position_embeddings=128"}).rule, "128");
  expect_says(problem("model.vocab_size", {"model.vocab_size=256"}).rule, "257");
  expect_says(
      problem("model.hf_config", {"model.preset=llama-tiny", "model.hf_config=config.json"}).rule,
      "preset");
}

TEST_F(ResolveTest, RefusesAGpt2ThatIsNone) {
  const std::vector<std::string> gpt2{"model.model_type=gpt2", "model.max_position_embeddings=256"};
  const auto and_also = [&](const char* setting) {
    auto settings = gpt2;
    settings.emplace_back(setting);
    return settings;
  };
  expect_no_problems(resolved(kSmallRun, gpt2).loaded);
  expect_says(problem("model.max_position_embeddings", {"model.model_type=gpt2"}).rule, "required");
  expect_says(problem("model.num_key_value_heads", and_also("model.num_key_value_heads=2")).rule,
              "4");
  expect_says(problem("model.attention_bias", and_also("model.attention_bias=false")).rule, "true");
  expect_says(problem("model.rope_scaling", and_also("model.rope_scaling={ factor = 2 }")).rule,
              "gpt2");
}

TEST_F(ResolveTest, RefusesLearningRatesThatRiseAndWarmUpsThatDoNotEnd) {
  expect_says(problem("optimizer.min_lr", {"optimizer.lr=0.25", "optimizer.min_lr=0.5"}).rule,
              "0.25");
  expect_says(problem("optimizer.warmup_steps", {"train.steps=5", "optimizer.warmup_steps=6"}).rule,
              "5");
  // One that nobody asked for gives way.
  const Resolved few = resolved(kSmallRun, {"train.steps=15"});
  expect_no_problems(few.loaded);
  EXPECT_EQ(few.options.learning_rate.warmup_steps, 1);
}

TEST_F(ResolveTest, NamesASmallLearningRateInItsDigits) {
  expect_says(problem("optimizer.min_lr", {"optimizer.lr=2e-7", "optimizer.min_lr=3e-7"}).rule,
              "2e-07");
}

TEST_F(ResolveTest, RefusesDataThatIsMissingOrHeldOutTwice) {
  const auto [loaded, options] = resolved("[model]\npreset = \"llama-tiny\"\n");
  EXPECT_EQ(loaded.problems.size(), 1u);
  expect_says(problem_with(loaded, "data.train").rule, "trireme data build");
  expect_says(problem("data.validation_fraction",
                      {"data.validation=[\"v\"]", "data.validation_fraction=0.1"})
                  .rule,
              "data.validation");
}

TEST_F(ResolveTest, WritesAConfigThatResolvesToItself) {
  std::ofstream(folder_ / "config.json")
      << R"({"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300})";
  for (const auto& model :
       {std::vector<std::string>{"model.preset=llama3-8b"},
        {"model.preset=gpt2-124m"},
        {"model.hf_config=" + folder_.string()},
        {"model.preset=llama-tiny", "optimizer.lr=0.1", "optimizer.eps=1.1e-9"}}) {
    SCOPED_TRACE(model.front());
    const auto first = resolved("[data]\ntrain = [\"corpus\"]\n", model, 2);
    expect_no_problems(first.loaded);
    const std::string written = resolved_toml(first.loaded.config);
    EXPECT_EQ(written.find("preset"), std::string::npos);
    EXPECT_EQ(written.find("hf_config"), std::string::npos);
    const auto second = resolved(written, {}, 2);
    expect_no_problems(second.loaded);
    EXPECT_EQ(resolved_toml(second.loaded.config), written);
    EXPECT_EQ(models::parameter_count(second.options.model),
              models::parameter_count(first.options.model));
    EXPECT_EQ(models::rope_frequencies(second.options.model),
              models::rope_frequencies(first.options.model));
  }
}

TEST_F(ResolveTest, WritesAHeadOfOneChannelThatCanBeReadAgain) {
  const auto first =
      resolved("[data]\ntrain = [\"corpus\"]\n",
               {"model.preset=gpt2-124m", "model.hidden_size=6", "model.num_attention_heads=6"});
  expect_no_problems(first.loaded);
  expect_no_problems(load(resolved_toml(first.loaded.config)));
}

// The example of the design, without what this version refuses.
TEST_F(ResolveTest, AcceptsTheExampleOfTheDesign) {
  const auto [loaded, options] = resolved(R"toml(
[model]            # preset = "llama3-8b", or hf_config = "path/config.json", or explicitly:
hidden_size = 256
intermediate_size = 688
num_hidden_layers = 8
num_attention_heads = 8
num_key_value_heads = 4
vocab_size = 257        # the byte tokenizer: 256 bytes and end-of-document
rope_theta = 10000.0
rms_norm_eps = 1e-5
tie_word_embeddings = false

[data]
train = [{ path = "build/corpus", weight = 1.0 }]
tokenizer = "bytes"

[parallel]
tensor = 2
pipeline = 2
data = "auto"          # world / (tensor * pipeline * context)
context = 1
expert = 1
sequence = true
order = "tp-cp-dp-pp"  # fastest-varying first

[schedule]
kind = "zb-v"          # gpipe 1f1b interleaved looped-bfs zb-h1 zb-h2 interleaved-zb zb-v ...
virtual_stages = 2
split = "auto"         # balanced by cost, embedding and head counted; or a list of layers per stage

[recompute]
mode = "none"          # none | selective | full

[precision]
compute = "auto"       # auto (bf16 on CUDA, fp32 on CPU) | fp32 | bf16 | fp16

[optimizer]
lr = 3e-4
min_lr = 3e-5
lr_schedule = "cosine" # constant | linear | cosine | wsd
warmup_steps = 20
beta1 = 0.9
beta2 = 0.95
eps = 1e-8
weight_decay = 0.1
clip_grad_norm = 1.0
zero_stage = 1

[train]
steps = 200
global_batch_size = 32   # sequences
micro_batch_size = 2
seq_length = 256
seed = 1234
device = "auto"          # auto | cpu | cuda
eval_interval = 50

[checkpoint]
interval = 0

[run]
dir = "runs/quickstart"
)toml",
                                          {}, 8);
  expect_no_problems(loaded);
  EXPECT_EQ(options.mesh.size(Axis::data), 2);
  EXPECT_EQ(options.schedule.placement.stages, 4);
  EXPECT_EQ(options.schedule.micro_batches, 8);
  EXPECT_TRUE(options.sequence_parallel);
  EXPECT_EQ(models::parameter_count(options.model),
            models::parameter_count(models::preset("llama-tiny")));
}

}  // namespace
}  // namespace trireme::launch
