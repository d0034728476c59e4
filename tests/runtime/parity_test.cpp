// Layouts drawn at random; parity_long_test draws many more.
#include "tests/runtime/parity.h"

namespace trireme::runtime {
namespace {

class Parity : public testing::TestWithParam<int> {};

TEST_P(Parity, OfALayoutWithOneRank) {
  expect_parity(static_cast<std::uint32_t>(GetParam()), "parity" + std::to_string(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Parity, testing::Range(0, 20));

}  // namespace
}  // namespace trireme::runtime
