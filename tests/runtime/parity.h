#pragma once

#include "runtime/train/verify.h"
#include "tests/runtime/random_layout.h"

namespace trireme::runtime {

// A random layout against one rank: loss, every gradient and every weight of one step, then the
// losses of three.
inline void expect_parity(std::uint32_t seed, const std::string& corpus_name) {
  const RandomCase drawn = random_case(seed);
  SCOPED_TRACE(testing::Message() << "seed " << seed << ": " << drawn.name());
  const test::Corpus corpus(4000, 17, corpus_name);
  const data::Sampler sampler = corpus.sampler(drawn.task.sequence_length, 3);
  test::on_ranks(drawn.layout.ranks(), [&](Communicator& world) {
    test::Device device;
    const Verification found =
        verify(*device.backend, world, sampler, options_of(drawn.task, drawn.layout));
    if (world.rank() > 0) return;
    EXPECT_TRUE(found.equivalent);
    EXPECT_LE(found.loss.relative_error, 1e-6);
    EXPECT_LE(found.worst_gradient.relative_error, 1e-4) << found.worst_gradient.name;
    EXPECT_LE(found.worst_weight.relative_error, 1e-3) << found.worst_weight.name;
  });
  const RunResult layout = run_layout(corpus, drawn.task, drawn.layout);
  const RunResult alone = run_layout(corpus, drawn.task, {});
  ASSERT_EQ(layout.losses.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(layout.losses[i], alone.losses[i], 1e-5 * alone.losses[i]) << "step " << i + 1;
  }
}

}  // namespace trireme::runtime
