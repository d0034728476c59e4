#pragma once

#include <random>

#include "tests/runtime/layout_run.h"
#include "tests/support/model.h"

namespace trireme::runtime {

// A model and a layout that nobody has tried before, with sizes that do not come out even.
struct RandomCase {
  Task task;
  Layout layout;

  std::string name() const {
    const models::Shape& shape = task.shape;
    return layout.name() + "; " + (shape.family == models::Family::llama ? "llama " : "gpt2 ") +
           std::to_string(shape.num_hidden_layers) + " layers, " +
           std::to_string(shape.num_attention_heads) + "/" +
           std::to_string(shape.num_key_value_heads) + " heads, vocabulary " +
           std::to_string(shape.vocab_size) + (shape.tie_word_embeddings ? ", tied" : "") +
           ", batch " + std::to_string(task.global_batch) + "/" + std::to_string(task.micro_batch);
  }
};

inline RandomCase random_case(std::uint32_t seed) {
  std::mt19937 dice(seed);
  const auto between = [&](int least, int most) {
    return least + static_cast<int>(dice() % static_cast<std::uint32_t>(most - least + 1));
  };
  const auto& kinds = schedules::kinds();
  for (;;) {
    Layout layout{.tensor = between(1, 4), .pipeline = between(1, 4), .data = between(1, 3)};
    if (layout.ranks() > 24) continue;
    const auto& kind = kinds[dice() % kinds.size()];
    if (kind.two_copies) continue;
    layout.kind = kind.name;
    layout.virtual_stages = kind.virtual_stages > 0 ? kind.virtual_stages : between(1, 3);
    layout.sequence = between(0, 1) == 1;
    layout.zero_stage = between(0, 1);
    layout.recompute = static_cast<Recompute>(between(0, 2));
    const bool llama = between(0, 2) > 0;
    Task task{.shape = llama ? test::tiny_llama() : test::tiny_gpt2()};
    models::Shape& shape = task.shape;
    shape.num_attention_heads = layout.tensor * between(1, 2);
    shape.head_dim = llama ? 2 * between(1, 3) : between(2, 4);
    const int groups[] = {1, 2, 3, 4, 8};
    shape.num_key_value_heads = llama ? groups[dice() % 5] : shape.num_attention_heads;
    shape.hidden_size = llama ? between(5, 13) : shape.num_attention_heads * shape.head_dim;
    shape.intermediate_size = layout.tensor * between(3, 7);
    shape.vocab_size = between(17, 29);
    shape.tie_word_embeddings = between(0, 1) == 1;
    shape.attention_bias = !llama || between(0, 1) == 1;
    shape.qk_norm = llama && between(0, 1) == 1;
    shape.num_hidden_layers = layout.pipeline * layout.virtual_stages + between(0, 3);
    task.sequence_length = 4 * between(1, 2);
    shape.max_position_embeddings = llama ? 0 : task.sequence_length;
    task.micro_batch = between(1, 3);
    task.global_batch = task.micro_batch * layout.data * between(1, 7);
    const auto heads = shape.num_attention_heads, kv_heads = shape.num_key_value_heads;
    const bool heads_fit = kv_heads <= heads && heads % kv_heads == 0 &&
                           (kv_heads % layout.tensor == 0 || layout.tensor % kv_heads == 0);
    const bool tokens_fit = task.micro_batch * task.sequence_length % layout.tensor == 0;
    if (!heads_fit || (layout.sequence && !tokens_fit)) continue;
    try {
      options_of(task, layout);
    } catch (const schedules::ScheduleError&) {
      continue;  // the kind cannot have this many micro-batches
    }
    layout.post_validation = between(0, 1) == 1;
    return {task, layout};
  }
}

}  // namespace trireme::runtime
