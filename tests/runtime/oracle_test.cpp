// Loss, gradients and five AdamW steps against an independent implementation in PyTorch;
// tests/oracle/make_golden.py made the files.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/train/step.h"
#include "tests/support/model.h"
#include "tests/support/ranks.h"

namespace trireme::runtime {
namespace {

using kernels::Dtype;
using nlohmann::json;

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15u;

std::uint64_t closed_form(const std::string& name, std::uint64_t index) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  std::uint64_t z = hash + (index + 1) * kGolden;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

double initial_value(const models::Parameter& parameter, std::uint64_t index) {
  const double unit =
      (static_cast<double>(closed_form(parameter.name, index) >> 40) * 0x1p-24 - 0.5) * 2;
  if (parameter.is_matrix()) return 0.1 * unit;
  return parameter.initializer == models::Initializer::ones ? 1 + 0.1 * unit : 0.05 * unit;
}

class OracleTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string base = std::string(GOLDEN_FOLDER) + "/" + GetParam();
    std::ifstream(base + ".json") >> golden;
    std::ifstream file(base + ".f32", std::ios::binary);
    values.resize(golden["values"].get<std::size_t>());
    file.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(4 * values.size()));
    ASSERT_TRUE(file) << base;
    read_shape(golden["config"]);
    buffers = std::make_unique<ParameterBuffers>(
        *device.backend, *device.stream, models::whole_model(shape), ParameterBuffers::Options{});
    data_parallel = std::make_unique<DataParallel>(
        *device.backend, *device.stream, *buffers,
        make_parameter_groups(mesh, static_cast<int>(shape.num_key_value_heads), true),
        DataParallelOptions{
            .adamw = {.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1}});
    for (const auto& slot : buffers->slots()) {
      std::vector<double> initial;
      for (std::int64_t i = 0; i < slot.parameter().size(); ++i) {
        initial.push_back(initial_value(slot.parameter(), static_cast<std::uint64_t>(i)));
      }
      device.assign(buffers->weight(slot.parameter().name).value, initial);
    }
  }

  void read_shape(const json& config) {
    shape.family = config["family"] == "llama" ? models::Family::llama : models::Family::gpt2;
    shape.hidden_size = config["hidden_size"];
    shape.intermediate_size = config["intermediate_size"];
    shape.num_hidden_layers = config["layers"];
    shape.num_attention_heads = config["heads"];
    shape.num_key_value_heads = config["kv_heads"];
    shape.head_dim = config["head_dim"];
    shape.vocab_size = config["vocab_size"];
    shape.norm_eps = config["norm_eps"];
    shape.attention_bias = config["qkv_bias"];
    shape.qk_norm = config.value("qk_norm", false);
    shape.tie_word_embeddings = config["tied_embeddings"];
    if (shape.family == models::Family::gpt2) {
      shape.max_position_embeddings = config["max_positions"];
      return;
    }
    const json& scaling = config["rope_scaling"];
    shape.rope_theta = config["rope_theta"];
    shape.rope_scaling = models::RopeScaling{scaling["factor"], scaling["low_freq_factor"],
                                             scaling["high_freq_factor"],
                                             scaling["original_max_position_embeddings"]};
  }

  std::vector<std::int32_t> tokens(std::uint64_t step, std::uint64_t micro_batch,
                                   std::uint64_t shift) const {
    std::vector<std::int32_t> ids;
    for (std::uint64_t row = 0; row < 3; ++row) {
      for (std::uint64_t column = 0; column < 16; ++column) {
        const std::uint64_t index = ((step * 2 + micro_batch) * 3 + row) * 17 + column + shift;
        ids.push_back(static_cast<std::int32_t>(closed_form("tokens", index) % 61));
      }
    }
    return ids;
  }

  std::vector<double> golden_tensor(const json& entry) const {
    std::size_t size = 1;
    for (const std::size_t extent : entry["shape"]) size *= extent;
    const auto begin = values.begin() + entry["offset"].get<std::ptrdiff_t>();
    return {begin, begin + static_cast<std::ptrdiff_t>(size)};
  }

  test::Device device;
  std::vector<std::unique_ptr<Communicator>> world = test::make_ranks(1);
  Mesh mesh{*world.front(), MeshShape()};
  json golden;
  std::vector<float> values;
  models::Shape shape;
  std::unique_ptr<ParameterBuffers> buffers;
  std::unique_ptr<DataParallel> data_parallel;
};

TEST_P(OracleTest, LossGradientsAndFiveStepsAgreeWithPyTorch) {
  const models::LayerRange whole{.first = 0, .count = 2, .embedding = true, .head = true};
  const RankModel model(*device.backend, *device.stream, *buffers,
                        {.shape = shape, .stages = {{0, whole}}, .sequence = 16});
  const Stage& stage = model.stage(0);
  const auto loss = device.filled({1, 1}, Dtype::f64, 0);
  for (std::uint64_t step = 0; step < 5; ++step) {
    data_parallel->begin_step();
    device.assign(loss, {0});
    for (std::uint64_t m = 0; m < 2; ++m) {
      const auto ids = device.ids(tokens(step, m, 0)), targets = device.ids(tokens(step, m, 1));
      const MicroBatch batch{
          .tokens = ids, .target = {.tokens = targets, .loss = loss, .gradient_scale = 1.0 / 96}};
      Stage::Saved saved;
      stage.forward(*device.stream, {}, batch, saved, [](int) {});
      stage.backward(*device.stream, {}, std::move(saved), [](int) {});
      device.stream->synchronize();
    }
    const Totals totals = data_parallel->reduce_stage_totals(loss, false);
    const double expected_loss = golden["losses"][step],
                 expected_norm = golden["gradient_norms"][step];
    EXPECT_NEAR(totals.loss / 96, expected_loss, 1e-6 * expected_loss) << "step " << step;
    EXPECT_NEAR(std::sqrt(totals.squared_norm), expected_norm, 1e-4 * expected_norm)
        << "step " << step;
    for (const auto& entry : golden["gradients"]) {
      if (step > 0) break;
      const auto expected = golden_tensor(entry);
      const auto actual = device.values(buffers->weight(entry["name"]).gradient);
      double size = 0;
      for (const double g : expected) size += g * g;
      // A key's bias has no gradient but rounding: the softmax does not see it.
      if (std::sqrt(size) < 1e-6) continue;
      EXPECT_LE(test::relative_error(actual, expected), 1e-4) << entry["name"];
    }
    data_parallel->update(1e-2, optim::clip_factor(std::sqrt(totals.squared_norm), 1),
                          static_cast<std::int64_t>(step) + 1);
  }
  for (const auto& entry : golden["weights"]) {
    // AdamW turns that rounding into updates of full size.
    if (entry["name"].get<std::string>().ends_with("k_proj.bias")) continue;
    const auto actual = device.values(buffers->weight(entry["name"]).value);
    EXPECT_LE(test::relative_error(actual, golden_tensor(entry)), 1e-4) << entry["name"];
  }
}

INSTANTIATE_TEST_SUITE_P(Models, OracleTest, testing::Values("llama", "gpt2", "qwen3"),
                         [](const auto& model) { return std::string(model.param); });

}  // namespace
}  // namespace trireme::runtime
