// Operations on tokens, at both ends of a model: as operations_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/kernels/of_every_dtype.h"

namespace trireme::kernels {
namespace {

class TokenTest : public OfEveryDtype {};

TEST_P(TokenTest, EmbeddingAddsPositionsAndItsBackwardSumsRepeats) {
  const Tensor table = random(11, 70, 1), positions = random(4, 70, 2);
  const Tensor ids = device.ids({3, 10, 3, 0, 7, 3, 99, 1});  // 99 is another rank's
  const Tensor out = device.filled({8, 70}, GetParam(), NAN);
  device.run(
      Embedding{.ids = ids, .table = table, .positions = positions, .out = out, .sequence = 4});
  const std::vector<std::size_t> rows{3, 10, 3, 0, 7, 3, 99, 1};
  const Values t = device.values(table), p = device.values(positions);
  Values expected;
  for (std::size_t r = 0; r < 8; ++r) {
    for (std::size_t c = 0; c < 70; ++c)
      expected.push_back((rows[r] < 11 ? t[rows[r] * 70 + c] : 0) + p[r % 4 * 70 + c]);
  }
  expect_near(out, expected);
  const Tensor d_out = random(8, 70, 3), d_table = accumulator(11, 70, 0),
               d_positions = accumulator(4, 70, 0);
  device.run(EmbeddingBackward{
      .ids = ids, .d_out = d_out, .d_table = d_table, .d_positions = d_positions, .sequence = 4});
  const Values d = device.values(d_out);
  Values by_id(11 * 70, 0.0), by_position(4 * 70, 0.0);
  for (std::size_t r = 0; r < 8; ++r) {
    for (std::size_t c = 0; c < 70; ++c) {
      if (rows[r] < 11) by_id[rows[r] * 70 + c] += d[r * 70 + c];
      by_position[r % 4 * 70 + c] += d[r * 70 + c];
    }
  }
  expect_near(d_table, by_id);
  expect_near(d_positions, by_position);
}

TEST_P(TokenTest, EmbeddingGradientOfIdsThatRepeat) {
  const std::int64_t tokens = 700;
  std::vector<std::int32_t> ids;
  for (std::int32_t t = 0; t < tokens; ++t) ids.push_back(t % 7 == 3 ? 40 + t % 5 : t * t % 11);
  const Tensor device_ids = device.ids(ids);
  for (const std::int64_t columns : {70, 264}) {
    const Tensor d_out = random(tokens, columns, 3), d_table = accumulator(42, columns, 1);
    device.run(EmbeddingBackward{.ids = device_ids, .d_out = d_out, .d_table = d_table});
    const Values d = device.values(d_out);
    Values expected(static_cast<std::size_t>(42 * columns), 1.0);
    for (std::size_t i = 0; i < d.size(); ++i) {
      const auto wide = static_cast<std::size_t>(columns);
      const auto id = static_cast<std::size_t>(ids[i / wide]);
      if (id < 42) expected[id * wide + i % wide] += d[i];
    }
    expect_near(d_table, expected);
  }
}

// Softmax cross-entropy of some targets, one of them none, in plain arithmetic.
struct ExpectedEntropy {
  static constexpr std::size_t kVocabulary = 2603;  // read 16 bytes at a time, but for the last
  const std::vector<std::int32_t> targets{0, 36, 5, -1, 7, 7, 20, 2602, 1};
  double loss = 0;
  Values gradient;

  ExpectedEntropy(const Values& x, double scale) {
    for (std::size_t t = 0; t < targets.size(); ++t) {
      const double* logits = &x[t * kVocabulary];
      double total = 0;
      for (std::size_t c = 0; c < kVocabulary; ++c) total += std::exp(logits[c]);
      const bool counts = targets[t] >= 0;
      if (counts) loss += std::log(total) - logits[targets[t]];
      for (std::size_t c = 0; c < kVocabulary; ++c) {
        const double one = counts && static_cast<std::size_t>(targets[t]) == c;
        gradient.push_back(counts ? scale * (std::exp(logits[c]) / total - one) : 0);
      }
    }
  }
};

TEST_P(TokenTest, CrossEntropyOfTargetsAndOfNone) {
  const std::int64_t tokens = 9;
  // Rows with room behind them, for the sake of their alignment.
  const Tensor padded = random(tokens, ExpectedEntropy::kVocabulary + 5, 1);
  const View logits = padded.view().column_range(0, ExpectedEntropy::kVocabulary);
  const ExpectedEntropy expected(device.values(logits), 0.1);
  const Tensor ids = device.ids(expected.targets), sum = device.filled({1, 1}, Dtype::f64, 0.25);
  const Tensor maximum = accumulator(tokens, 1), sum_exp = accumulator(tokens, 1),
               own = accumulator(tokens, 1);
  device.run(CrossEntropyStatistics{.logits = logits,
                                    .targets = ids,
                                    .maximum = maximum,
                                    .sum_exp = sum_exp,
                                    .target_logit = own});
  device.run(CrossEntropy{.logits = logits,
                          .targets = ids,
                          .maximum = maximum,
                          .sum_exp = sum_exp,
                          .target_logit = own,
                          .loss = sum,
                          .gradient_scale = 0.1});
  EXPECT_NEAR(device.values(sum)[0], expected.loss + 0.25, tolerance() * expected.loss);
  expect_near(logits, expected.gradient);
}

TEST_P(TokenTest, CrossEntropyOfWhatIsNotANumberIsNotANumber) {
  const Tensor logits = random(2, 40, 1);
  device.assign(logits.view().row_range(0, 1).column_range(17, 1), {NAN});
  const Tensor ids = device.ids({3, 3}), sum = device.filled({1, 1}, Dtype::f64, 0);
  const Tensor maximum = accumulator(2, 1), sum_exp = accumulator(2, 1), own = accumulator(2, 1);
  device.run(CrossEntropyStatistics{.logits = logits,
                                    .targets = ids,
                                    .maximum = maximum,
                                    .sum_exp = sum_exp,
                                    .target_logit = own});
  device.run(CrossEntropy{.logits = logits,
                          .targets = ids,
                          .maximum = maximum,
                          .sum_exp = sum_exp,
                          .target_logit = own,
                          .loss = sum,
                          .gradient_scale = 1});
  EXPECT_TRUE(std::isnan(device.values(sum)[0]));
  EXPECT_TRUE(std::isnan(device.values(logits)[0]));
  EXPECT_FALSE(std::isnan(device.values(logits)[40]));
}

// Three ranks with a share of the vocabulary each, one after the other.
TEST_P(TokenTest, CrossEntropyOfAVocabularyInParts) {
  const std::int64_t tokens = 9, vocabulary = ExpectedEntropy::kVocabulary;
  const std::int64_t first[] = {0, 20, 21, vocabulary};
  const Tensor logits = random(tokens, vocabulary, 1);
  const ExpectedEntropy expected(device.values(logits), 0.1);
  const Tensor ids = device.ids(expected.targets);
  const Tensor parts = accumulator(3, 3 * tokens), merged = accumulator(3, tokens);
  const auto column = [&](View numbers, std::int64_t i) {
    return numbers.reshaped({3, tokens}).row_range(i, 1).reshaped({tokens, 1});
  };
  const auto share = [&](int rank) {
    return logits.view().column_range(first[rank], first[rank + 1] - first[rank]);
  };
  for (int rank = 0; rank < 3; ++rank) {
    const View own = parts.view().row_range(rank, 1);
    device.run(CrossEntropyStatistics{.logits = share(rank),
                                      .targets = ids,
                                      .maximum = column(own, 0),
                                      .sum_exp = column(own, 1),
                                      .target_logit = column(own, 2),
                                      .first_id = first[rank]});
  }
  device.run(MergeStatistics{.parts = parts,
                             .maximum = column(merged, 0),
                             .sum_exp = column(merged, 1),
                             .target_logit = column(merged, 2)});
  for (int rank = 0; rank < 3; ++rank) {
    const Tensor sum = device.filled({1, 1}, Dtype::f64, 0);
    device.run(CrossEntropy{.logits = share(rank),
                            .targets = ids,
                            .maximum = column(merged, 0),
                            .sum_exp = column(merged, 1),
                            .target_logit = column(merged, 2),
                            .loss = sum,
                            .first_id = first[rank],
                            .gradient_scale = 0.1});
    EXPECT_NEAR(device.values(sum)[0], expected.loss, tolerance() * expected.loss);
  }
  expect_near(logits, expected.gradient);
}

INSTANTIATE_TEST_SUITE_P(Dtypes, TokenTest, testing::ValuesIn(test::backend_dtypes()),
                         [](const auto& dtype) { return std::string(name_of(dtype.param)); });

}  // namespace
}  // namespace trireme::kernels
