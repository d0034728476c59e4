// 300 layouts drawn at random.
#include "tests/runtime/parity.h"

namespace trireme::runtime {
namespace {

class ManyLayouts : public testing::TestWithParam<int> {};

TEST_P(ManyLayouts, EqualOneRank) {
  expect_parity(static_cast<std::uint32_t>(1000 + GetParam()),
                "parity_long" + std::to_string(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Seeds, ManyLayouts, testing::Range(0, 300));

}  // namespace
}  // namespace trireme::runtime
