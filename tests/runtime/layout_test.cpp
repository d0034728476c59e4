// Every layout trains the model of one rank.
#include "tests/runtime/layout_run.h"
#include "tests/support/model.h"

namespace trireme::runtime {
namespace {

Task llama_task() {
  Task task{.shape = test::tiny_llama()};
  task.shape.num_hidden_layers = 6;
  return task;
}

Task gpt2_task() {
  Task task{.shape = test::tiny_gpt2()};
  task.shape.num_hidden_layers = 6;
  task.shape.num_attention_heads = task.shape.num_key_value_heads = 4;
  task.shape.head_dim = 3;
  return task;
}

class LayoutTest : public testing::Test {
 protected:
  void expect_parity(const Task& task, const Layout& layout) {
    SCOPED_TRACE(layout.name());
    expect_same_run(run_layout(corpus, task, layout), run_layout(corpus, task, {}));
  }

  test::Corpus corpus{4000, 17, testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(LayoutTest, TensorParallel) {
  for (const Task& task : {llama_task(), gpt2_task()}) {
    for (const bool sequence : {false, true}) {
      expect_parity(task, {.tensor = 2, .sequence = sequence});
      expect_parity(task, {.tensor = 4, .sequence = sequence});
    }
  }
}

TEST_F(LayoutTest, Pipeline) {
  for (const Task& task : {llama_task(), gpt2_task()}) {
    expect_parity(task, {.pipeline = 2});
    expect_parity(task, {.pipeline = 3, .kind = "zb-h1"});
    expect_parity(task, {.pipeline = 2, .kind = "zb-v"});
    expect_parity(task, {.pipeline = 2, .kind = "interleaved", .virtual_stages = 3});
  }
}

TEST_F(LayoutTest, AllThree) {
  for (const Task& task : {llama_task(), gpt2_task()}) {
    expect_parity(task, {.tensor = 2, .pipeline = 2, .data = 2, .kind = "zb-v"});
    expect_parity(task, {.tensor = 2,
                         .pipeline = 3,
                         .data = 2,
                         .kind = "gpipe",
                         .sequence = false,
                         .zero_stage = 0});
  }
}

}  // namespace
}  // namespace trireme::runtime
