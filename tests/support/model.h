#pragma once

#include <memory>

#include "models/shape.h"
#include "runtime/model/stage.h"
#include "tests/support/device.h"

namespace trireme::test {

// Small shapes with odd sizes: grouped queries and biases, or everything of GPT-2.
inline models::Shape tiny_llama() {
  return {.family = models::Family::llama,
          .hidden_size = 12,
          .intermediate_size = 20,
          .num_hidden_layers = 2,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 6,
          .vocab_size = 17,
          .max_position_embeddings = 0,
          .rope_theta = 100.0,
          .norm_eps = 1e-5,
          .tie_word_embeddings = false,
          .attention_bias = true};
}

inline models::Shape tiny_gpt2() {
  return {.family = models::Family::gpt2,
          .hidden_size = 12,
          .intermediate_size = 20,
          .num_hidden_layers = 2,
          .num_attention_heads = 3,
          .num_key_value_heads = 3,
          .head_dim = 4,
          .vocab_size = 17,
          .max_position_embeddings = 9,
          .norm_eps = 1e-5,
          .tie_word_embeddings = true,
          .attention_bias = true};
}

// Buffers with random values, and zero gradients, for every parameter of a shape.
inline std::unique_ptr<runtime::ParameterBuffers> random_parameters(Device& device,
                                                                    const models::Shape& shape,
                                                                    Dtype dtype) {
  auto buffers = std::make_unique<runtime::ParameterBuffers>(
      *device.backend, *device.stream, models::whole_model(shape),
      runtime::ParameterBuffers::Options{.dtype = dtype, .bucket_elements = 1});
  unsigned seed = 1;
  for (const auto& slot : buffers->slots()) {
    const View value = buffers->weight(slot.parameter().name).value;
    auto values = Device::random_values(value.size(), ++seed);
    for (double& v : values) v = slot.parameter().is_matrix() ? 0.4 * v : v + 0.5;
    device.assign(value, values);
  }
  return buffers;
}

}  // namespace trireme::test
