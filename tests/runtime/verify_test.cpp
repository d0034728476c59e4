#include "runtime/train/verify.h"

#include "tests/runtime/layout_run.h"
#include "tests/support/faulty_communicator.h"
#include "tests/support/model.h"

namespace trireme::runtime {
namespace {

using test::Bug;
using test::Fault;
using test::Operation;

Task task_of(const models::Shape& shape) {
  Task task{.shape = shape};
  task.shape.num_hidden_layers = 4;
  task.shape.num_attention_heads = 4;
  if (shape.family == models::Family::gpt2) {
    task.shape.num_key_value_heads = 4;
    task.shape.head_dim = 3;
  }
  return task;
}

class VerifyTest : public testing::Test {
 protected:
  Verification verified(const Task& task, const Layout& layout, const Bug& bug = {}) {
    Verification result;
    const data::Sampler sampler = corpus.sampler(task.sequence_length, 3);
    test::on_ranks(layout.ranks(), [&](Communicator& world) {
      test::Device device;
      test::FaultyCommunicator faulty(*device.backend, world, bug);
      const Verification found = verify(*device.backend, faulty, sampler, options_of(task, layout));
      if (world.rank() == 0) result = found;
    });
    return result;
  }

  test::Corpus corpus{4000, 17, testing::UnitTest::GetInstance()->current_test_info()->name()};
};

const Layout kAllThree{.tensor = 4, .pipeline = 2, .data = 2, .kind = "zb-h1"};

TEST_F(VerifyTest, FindsALayoutEquivalent) {
  for (const models::Shape& shape : {test::tiny_llama(), test::tiny_gpt2()}) {
    const Verification found = verified(task_of(shape), kAllThree);
    EXPECT_TRUE(found.equivalent);
    EXPECT_FALSE(found.first_wrong);
    EXPECT_GT(found.loss.reference, 0);
    EXPECT_NEAR(found.loss.layout, found.loss.reference, 1e-6 * found.loss.reference);
    EXPECT_NE(found.worst_gradient.name, "");
    EXPECT_LE(found.worst_gradient.relative_error, 1e-4);
    EXPECT_NE(found.worst_weight.name, "");
  }
}

// Each collective that a layout needs, left out or done twice.
TEST_F(VerifyTest, FindsABugInAnyCollective) {
  struct Case {
    const char* group;
    Operation operation;
    bool sequence = true;
    int zero_stage = 1;
    bool gpt2 = false;
  };
  const Case cases[] = {
      {"tensor", Operation::all_gather},
      {"tensor", Operation::reduce_scatter},
      {"tensor", Operation::all_reduce, /*sequence=*/false},
      {"tensor gradients", Operation::all_reduce},
      {"key and value heads", Operation::all_reduce},
      {"tied embeddings", Operation::all_reduce, true, 1, /*gpt2=*/true},
      {"data", Operation::reduce_scatter},
      {"data", Operation::all_gather},
      {"data", Operation::all_reduce, true, /*zero_stage=*/0},
      {"totals of a stage", Operation::all_reduce},
      {"totals", Operation::all_reduce},
  };
  for (const Case& one : cases) {
    const Task task = task_of(one.gpt2 ? test::tiny_gpt2() : test::tiny_llama());
    Layout layout = kAllThree;
    layout.sequence = one.sequence;
    layout.zero_stage = one.zero_stage;
    for (const Fault fault : {Fault::skip, Fault::twice}) {
      SCOPED_TRACE(testing::Message()
                   << one.group << ", operation " << static_cast<int>(one.operation) << ", "
                   << (fault == Fault::skip ? "left out" : "twice"));
      const Bug bug{one.group, one.operation, fault};
      EXPECT_FALSE(verified(task, layout, bug).equivalent);
    }
  }
}

TEST_F(VerifyTest, NamesTheFirstTensorThatIsWrong) {
  const Bug bug{"tied embeddings", Operation::all_reduce, Fault::skip};
  const Verification found = verified(task_of(test::tiny_gpt2()), kAllThree, bug);
  ASSERT_TRUE(found.first_wrong);
  EXPECT_EQ(found.first_wrong->name, "model.embed_tokens.weight");
  EXPECT_EQ(found.worst_gradient.name, "model.embed_tokens.weight");
  EXPECT_GT(found.first_wrong->ulp, 100);
}

}  // namespace
}  // namespace trireme::runtime
