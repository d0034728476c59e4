// logits CHECKPOINT LENGTH <TOKENS >LOGITS: what the model of a checkpoint makes of samples of
// LENGTH tokens, int32 in, fp32 out, (tokens, vocabulary) row-major. On the CPU, in fp32.
#include <cstdio>
#include <exception>
#include <string>

#include "checkpoints/checkpoint.h"
#include "launch/config_file.h"
#include "launch/resolve_model.h"
#include "runtime/model/rank_model.h"
#include "tests/support/device.h"

namespace trireme {
namespace {

using kernels::Dtype;

std::vector<std::int32_t> read_tokens() {
  std::vector<std::int32_t> tokens;
  for (std::int32_t token; std::fread(&token, sizeof token, 1, stdin) == 1;) {
    tokens.push_back(token);
  }
  return tokens;
}

void load(test::Device& device, checkpoints::Checkpoint& checkpoint,
          const runtime::ParameterBuffers& buffers) {
  for (const auto& slot : buffers.slots()) {
    const models::Parameter& parameter = slot.parameter();
    const checkpoints::StoredTensor* tensor = checkpoint.manifest().find(parameter.name);
    if (!tensor) throw std::runtime_error(parameter.name + " is not in the checkpoint");
    std::vector<float> values(static_cast<std::size_t>(parameter.size()));
    checkpoint.read(*tensor, {.rows = parameter.rows, .columns = parameter.columns}, values);
    device.backend->upload(*device.stream, std::as_bytes(std::span(values)),
                           buffers.weight(parameter.name).value);
    device.stream->synchronize();
  }
}

void print_logits(const std::string& folder, std::int64_t length) {
  checkpoints::Checkpoint checkpoint(folder);
  launch::LoadedConfig loaded = launch::parse_config(checkpoint.manifest().config, folder, {});
  const models::Shape shape = launch::resolve_model(loaded);
  test::Device device;
  const runtime::ParameterBuffers buffers(*device.backend, *device.stream,
                                          models::whole_model(shape), {});
  load(device, checkpoint, buffers);
  const models::LayerRange below_head{.first = 0,
                                      .count = static_cast<int>(shape.num_hidden_layers),
                                      .embedding = true,
                                      .head = false};
  const runtime::RankModel model(*device.backend, *device.stream, buffers,
                                 {.shape = shape, .stages = {{0, below_head}}, .sequence = length});
  runtime::TensorParallel alone(*device.backend);
  const runtime::Head head({.backend = *device.backend,
                            .buffers = buffers,
                            .shape = shape,
                            .ranks = alone,
                            .rope = nullptr,
                            .sequence = length});
  const auto tokens = device.ids(read_tokens());
  kernels::Tensor x =
      model.stage(0).evaluate(*device.stream, {}, {.tokens = tokens, .target = {}}, [](int) {});
  const kernels::Tensor logits = head.logits(*device.stream, x);
  std::vector<float> values(static_cast<std::size_t>(logits.view().size()));
  device.backend->download(*device.stream, logits, std::as_writable_bytes(std::span(values)));
  device.stream->synchronize();
  std::fwrite(values.data(), sizeof(float), values.size(), stdout);
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) try {
  if (argc != 3) return 2;
  trireme::print_logits(argv[1], std::stoll(argv[2]));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
