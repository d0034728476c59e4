#include "models/work.h"

#include <gtest/gtest.h>

namespace trireme::models {
namespace {

struct Case {
  const char* name;
  std::int64_t sequence_length;
  double causal, full;  // GFLOP per token
  double tolerance;
};

TEST(TrainingFlops, AreThePublishedOnes) {
  for (const auto& [name, sequence_length, causal, full, tolerance] :
       {Case{"llama3-8b", 8192, 51.47, 57.91, 0.005}, Case{"llama3-70b", 8192, 449.2, 481.4, 0.05},
        Case{"llama3-405b", 8192, 2524, 2625, 0.5}, Case{"gpt2-124m", 1024, 0.80, 0.85, 0.005},
        Case{"gpt2-1.5b", 1024, 9.80, 10.27, 0.005}}) {
    const FlopsPerToken flops = training_flops(preset(name), sequence_length);
    EXPECT_NEAR(flops.causal / 1e9, causal, tolerance) << name;
    EXPECT_NEAR(flops.full / 1e9, full, tolerance) << name;
  }
}

// Six per element of every multiplied matrix, and 12 q s per layer for scores and values.
TEST(TrainingFlops, AreTheClosedFormOfALlama) {
  const Shape s = preset("llama3-3b");
  const double h = 3072, q = 3072, kv = 1024, f = 8192, layers = 28, vocabulary = 128256,
               sequence = 4096;
  const double matrices = layers * (2 * h * q + 2 * h * kv + 3 * h * f) + h * vocabulary;
  const FlopsPerToken flops = training_flops(s, 4096);
  EXPECT_DOUBLE_EQ(flops.full, 6 * matrices + 12 * layers * q * sequence);
  EXPECT_DOUBLE_EQ(flops.causal, 6 * matrices + 6 * layers * q * sequence);
}

TEST(TrainingFlops, DoNotDependOnWhetherTheHeadIsTied) {
  Shape shape = preset("llama3-8b");
  const double apart = training_flops(shape, 2048).causal;
  shape.tie_word_embeddings = true;
  EXPECT_DOUBLE_EQ(training_flops(shape, 2048).causal, apart);
}

TEST(TrainingFlops, GrowWithTheSequenceInAttentionOnly) {
  const Shape shape = preset("llama-tiny");
  const auto one = training_flops(shape, 1000), two = training_flops(shape, 2000);
  EXPECT_DOUBLE_EQ(two.full - one.full, 12.0 * 8 * 256 * 1000);
  EXPECT_DOUBLE_EQ(two.causal - one.causal, 6.0 * 8 * 256 * 1000);
}

}  // namespace
}  // namespace trireme::models
