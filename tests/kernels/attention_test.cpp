// Attention and its gradient against their definitions in double precision, in every dtype and for
// shapes that fill tiles and that do not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/kernels/of_every_dtype.h"

namespace trireme::kernels {
namespace {

struct Case {
  AttentionShape shape;
  std::int64_t tokens;
  double scale;

  // Element c of head h of token t.
  std::size_t query(std::int64_t t, std::int64_t h, std::int64_t c) const {
    return static_cast<std::size_t>((t * shape.heads + h) * shape.head_dim + c);
  }
  // The same of the key or value that head h reads.
  std::size_t key(std::int64_t t, std::int64_t h, std::int64_t c) const {
    const std::int64_t kv_head = h / (shape.heads / shape.kv_heads);
    return static_cast<std::size_t>((t * shape.kv_heads + kv_head) * shape.head_dim + c);
  }
  // Of log_sum_exp.
  std::size_t statistics(std::int64_t t, std::int64_t h) const {
    return static_cast<std::size_t>((t / shape.sequence * shape.heads + h) * shape.sequence +
                                    t % shape.sequence);
  }
};

struct Reference {
  Values out, log_sum_exp, d_q, d_k, d_v;
};

// One query at a time.
Reference attention(const Case& task, const Values& q, const Values& k, const Values& v,
                    const Values& d_out) {
  const auto& [shape, tokens, scale] = task;
  const std::int64_t dim = shape.head_dim;
  Reference r{.out = Values(q.size(), 0.0),
              .log_sum_exp = Values(static_cast<std::size_t>(tokens * shape.heads), 0.0),
              .d_q = Values(q.size(), 0.0),
              .d_k = Values(k.size(), 0.0),
              .d_v = Values(v.size(), 0.0)};
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::int64_t first = t / shape.sequence * shape.sequence;
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      Values weights;
      for (std::int64_t j = first; j <= t; ++j) {
        double score = 0;
        for (std::int64_t c = 0; c < dim; ++c)
          score += q[task.query(t, h, c)] * k[task.key(j, h, c)];
        weights.push_back(score * scale);
      }
      const double highest = *std::ranges::max_element(weights);
      double total = 0, dot = 0;
      for (double& weight : weights) total += weight = std::exp(weight - highest);
      r.log_sum_exp[task.statistics(t, h)] = highest + std::log(total);
      Values d_weights;
      for (std::int64_t j = first; j <= t; ++j) {
        double& weight = weights[static_cast<std::size_t>(j - first)];
        weight /= total;
        double d_weight = 0;
        for (std::int64_t c = 0; c < dim; ++c) {
          r.out[task.query(t, h, c)] += weight * v[task.key(j, h, c)];
          r.d_v[task.key(j, h, c)] += weight * d_out[task.query(t, h, c)];
          d_weight += d_out[task.query(t, h, c)] * v[task.key(j, h, c)];
        }
        d_weights.push_back(d_weight);
        dot += weight * d_weight;
      }
      for (std::int64_t j = first; j <= t; ++j) {
        const auto i = static_cast<std::size_t>(j - first);
        const double d_score = scale * weights[i] * (d_weights[i] - dot);
        for (std::int64_t c = 0; c < dim; ++c) {
          r.d_q[task.query(t, h, c)] += d_score * k[task.key(j, h, c)];
          r.d_k[task.key(j, h, c)] += d_score * q[task.query(t, h, c)];
        }
      }
    }
  }
  return r;
}

class AttentionTest : public OfEveryDtype {
 protected:
  void expect_definition();
};

void AttentionTest::expect_definition() {
  for (const AttentionShape shape :
       {AttentionShape{1, 2, 1, 8}, AttentionShape{7, 4, 2, 16}, AttentionShape{64, 2, 2, 24},
        AttentionShape{65, 3, 1, 32}, AttentionShape{130, 4, 4, 20}, AttentionShape{150, 2, 1, 64},
        AttentionShape{97, 2, 1, 128}}) {
    SCOPED_TRACE(testing::Message()
                 << "sequence " << shape.sequence << " head_dim " << shape.head_dim);
    const Case task{.shape = shape, .tokens = 2 * shape.sequence, .scale = 0.5};
    const std::int64_t tokens = task.tokens, kv_columns = shape.kv_heads * shape.head_dim;
    const Tensor q = random(tokens, shape.heads * shape.head_dim, 1),
                 d_out = random(q.view().rows, q.view().columns, 3);
    const Tensor kv = random(tokens, 2 * kv_columns, 2), d_kv = like(kv);
    const View k = kv.view().column_range(0, kv_columns);
    const View v = kv.view().column_range(kv_columns, kv_columns);
    const View d_k = d_kv.view().column_range(0, kv_columns);
    const View d_v = d_kv.view().column_range(kv_columns, kv_columns);
    const Reference expected =
        attention(task, device.values(q), device.values(k), device.values(v), device.values(d_out));
    const Tensor out = like(q), d_q = like(q);
    const Tensor log_sum_exp = accumulator(tokens / shape.sequence * shape.heads, shape.sequence);
    device.run(Attention{.q = q,
                         .k = k,
                         .v = v,
                         .out = out,
                         .log_sum_exp = log_sum_exp,
                         .shape = shape,
                         .scale = task.scale});
    expect_near(out, expected.out, "out");
    expect_near(log_sum_exp, expected.log_sum_exp, "log_sum_exp");
    device.run(AttentionBackward{.q = q,
                                 .k = k,
                                 .v = v,
                                 .out = out,
                                 .log_sum_exp = log_sum_exp,
                                 .d_out = d_out,
                                 .d_q = d_q,
                                 .d_k = d_k,
                                 .d_v = d_v,
                                 .shape = shape,
                                 .scale = task.scale});
    expect_near(d_q, expected.d_q, "d_q");
    expect_near(d_k, expected.d_k, "d_k");
    expect_near(d_v, expected.d_v, "d_v");
  }
}

TEST_P(AttentionTest, IsItsDefinitionAndSoIsItsGradient) { expect_definition(); }

TEST_P(AttentionTest, IsItsDefinitionInTheFastestWayToo) {
  device.backend->try_ways(Backend::kUsualWays);
  expect_definition();
}

INSTANTIATE_TEST_SUITE_P(Dtypes, AttentionTest, testing::ValuesIn(test::backend_dtypes()),
                         [](const auto& dtype) { return std::string(name_of(dtype.param)); });

}  // namespace
}  // namespace trireme::kernels
