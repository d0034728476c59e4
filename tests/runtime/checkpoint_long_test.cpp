// Every pair of twelve layouts: what one has saved, the other one loads.
#include <gtest/gtest.h>

#include "tests/runtime/checkpoint_pairs.h"

namespace trireme::runtime {
namespace {

class ManyPairs : public testing::TestWithParam<std::size_t> {};

TEST_P(ManyPairs, OfTwelveLayoutsLoadEachOther) {
  const test::Corpus corpus(4000, 17, "pairs-" + std::to_string(GetParam()));
  CheckpointPairs pairs(corpus, corpus.folder() / "checkpoints");
  const auto layouts = twelve_layouts();
  pairs.save(layouts[GetParam()]);
  for (const Layout& to : layouts) pairs.load(to);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, ManyPairs, testing::Range(std::size_t{0}, std::size_t{12}));

}  // namespace
}  // namespace trireme::runtime
