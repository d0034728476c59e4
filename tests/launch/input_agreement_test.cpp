#include "launch/input_agreement.h"

#include <gtest/gtest.h>

namespace trireme::launch {
namespace {

TEST(InputAgreement, NamesTheFirstLineThatDiffers) {
  EXPECT_EQ(first_difference("a = 1\nb = 2\nc = 3\n", "a = 1\nb = 7\nc = 4\n"),
            "\"b = 7\" where rank 0 has \"b = 2\"");
  EXPECT_EQ(first_difference("a = 1\n", "a = 1\nb = 2\n"), "\"b = 2\" where rank 0 has nothing");
  EXPECT_EQ(first_difference("a = 1\nb = 2", "a = 1"), "nothing where rank 0 has \"b = 2\"");
}

TEST(InputAgreement, ConfigsDifferByEveryKey) {
  LoadedConfig one, other;
  EXPECT_EQ(text_of_config(one), text_of_config(other));
  other.config.optimizer.lr *= 1 + 1e-15;
  EXPECT_NE(text_of_config(one), text_of_config(other));
}

}  // namespace
}  // namespace trireme::launch
