#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "schedules/memory.h"
#include "tests/schedules/generators.h"

// Generated schedules hold what the literature derives for them, in activations of one micro-batch
// for a rank's whole share, and send as many messages. p ranks, m micro-batches, v chunks per rank.
namespace trireme::schedules {
namespace {

constexpr double kExact = 1e-9;

// Micro-batches of the first group, if groups are as equal as they can be.
int group_of(const PipelineShape& shape) {
  const int groups = std::max(1, shape.micro_batches / shape.ranks);
  return (shape.micro_batches + groups - 1) / groups;
}

using Peak = double (*)(const PipelineShape& shape, int rank, double weight_fraction);

// `fewest(p)`: of micro-batches, for the closed form to hold.
void expect_peaks(
    const std::string& kind, const std::vector<double>& weight_fractions, Peak peak,
    int (*fewest)(int p) = [](int) { return 1; }) {
  for (const PipelineShape& shape : shapes_of(generator_named(kind), 9, 24)) {
    if (shape.micro_batches < fewest(shape.ranks)) continue;
    const Schedule schedule = generator_named(kind).generate(shape);
    for (const double weight_fraction : weight_fractions) {
      SCOPED_TRACE(testing::Message() << text_of(shape) << ", weight fraction " << weight_fraction);
      const auto peaks = peak_memory(schedule, {.weight_fraction = weight_fraction});
      ASSERT_EQ(peaks.size(), static_cast<std::size_t>(shape.ranks));
      for (int rank = 0; rank < shape.ranks; ++rank) {
        EXPECT_NEAR(peaks[static_cast<std::size_t>(rank)], peak(shape, rank, weight_fraction),
                    kExact)
            << "rank " << rank;
      }
    }
  }
}

TEST(PeakOf, GPipeAndLoopedBreadthFirst) {
  for (const char* kind : {"gpipe", "looped_bfs"}) {
    expect_peaks(kind, {1, 0}, [](const PipelineShape& shape, int, double) {
      return static_cast<double>(shape.micro_batches);
    });
  }
}

TEST(PeakOf, OneForwardOneBackward) {
  expect_peaks("one_f_one_b", {1, 0}, [](const PipelineShape& shape, int rank, double) {
    return static_cast<double>(std::min(shape.ranks - rank, shape.micro_batches));
  });
}

// (Narayanan et al. 2021, arXiv:2104.04473): two micro-batches of warm-up per hop.
TEST(PeakOf, Interleaved) {
  expect_peaks("interleaved", {1, 0}, [](const PipelineShape& shape, int rank, double) {
    const auto [p, m, v, group] = shape;
    const int hops = (v > 1 ? 2 : 1) * (p - 1 - rank);
    return std::min<double>(m, ((v - 1) * group_of(shape) + hops + 1.0) / v);
  });
}

// (Wan et al. 2025, arXiv:2503.01328): a group on every chunk but the last, plus one forward pass
// per hop.
TEST(PeakOf, GroupInterleaved) {
  for (int p = 1; p <= 8; ++p) {
    for (int group = (p + 1) / 2; group <= p; ++group) {
      for (const int v : {1, 2, 4}) {
        const auto peaks = peak_memory(group_interleaved({p, 4 * p + 1, v, group}), {});
        for (int rank = 0; rank < p; ++rank) {
          EXPECT_NEAR(peaks[static_cast<std::size_t>(rank)], ((v - 1.0) * group + p - rank) / v,
                      kExact)
              << "rank " << rank << " of " << p << ", groups of " << group << ", " << v
              << " chunks";
        }
      }
    }
  }
}

// M_B and M_W of table 2 of the zero-bubble paper (Qi et al. 2023, arXiv:2401.10241), also if there
// are fewer micro-batches than it takes to fill the pipe.
TEST(PeakOf, ZbH1) {
  expect_peaks("zb_h1", {1, 0.5, 0}, [](const PipelineShape& shape, int rank, double fraction) {
    const int whole = std::min(shape.ranks - rank, shape.micro_batches);
    return whole + fraction * std::min(rank, shape.micro_batches - whole);
  });
}

TEST(PeakOf, ZbH2) {
  expect_peaks("zb_h2", {1, 0.5, 0}, [](const PipelineShape& shape, int rank, double fraction) {
    const int whole = std::min(2 * (shape.ranks - rank) - 1, shape.micro_batches);
    return whole + fraction * std::min(2 * rank, shape.micro_batches - whole);
  });
}

TEST(PeakOf, InterleavedZb) {
  expect_peaks("interleaved_zb", {1}, [](const PipelineShape& shape, int, double) {
    const auto [p, m, v, group] = shape;
    return std::min<double>(m, ((v - 1.0) * group_of(shape) + p) / v);
  });
  expect_peaks("interleaved_zb_h2", {1}, [](const PipelineShape& shape, int, double) {
    const auto [p, m, v, group] = shape;
    return std::min<double>(m, ((v - 1.0) * group_of(shape) + 2 * p - 1) / v);
  });
}

TEST(PeakOf, ZbV) {
  expect_peaks(
      "zb_v", {1},
      [](const PipelineShape& shape, int, double) { return static_cast<double>(shape.ranks); },
      [](int p) { return 2 * p - 1; });
}

// A half, a third and two thirds of 1F1B's (Qi et al. 2024, arXiv:2405.15362), rounded up.
void expect_largest_peak(const std::string& kind, double (*peak)(int p)) {
  for (const PipelineShape& shape : shapes_of(generator_named(kind), 16, 34)) {
    if (shape.micro_batches < 2 * shape.ranks) continue;
    SCOPED_TRACE(text_of(shape));
    const auto peaks = peak_memory(generator_named(kind).generate(shape), {});
    EXPECT_NEAR(*std::max_element(peaks.begin(), peaks.end()), peak(shape.ranks), kExact);
  }
}

TEST(PeakOf, VHalf) {
  expect_largest_peak("v_half", [](int p) { return std::floor(p / 2.0 + 1); });
}
TEST(PeakOf, VMin) {
  expect_largest_peak("v_min", [](int p) { return std::ceil((p + 2) / 3.0); });
}
TEST(PeakOf, OneForwardOneBackwardV) {
  expect_largest_peak("one_f_one_b_v", [](int p) { return std::floor(2 * p / 3.0 + 1); });
}

// Table 2 of the DeepSeek-V3 report (DeepSeek-AI 2024, arXiv:2412.19437).
TEST(PeakOf, DualPipe) {
  expect_peaks("dual_pipe", {1},
               [](const PipelineShape& shape, int, double) { return shape.ranks + 1.0; });
  expect_peaks("dual_pipe_v", {1},
               [](const PipelineShape& shape, int, double) { return shape.ranks + 0.5; });
}

// Activations and gradients cross every border between stages on two ranks once per micro-batch.
TEST(Messages, CrossEveryBorderTwice) {
  for (const Generator& generator : generators()) {
    for (const PipelineShape& shape : shapes_of(generator, 6, 14)) {
      SCOPED_TRACE(generator.name + ", " + text_of(shape));
      const auto [p, m, v, group] = shape;
      const Schedule schedule = generator.generate(shape);
      const Costs costs = Costs::even(schedule.placement, {}, 0.1);
      const Traffic found = traffic(schedule, costs, simulate(schedule, costs));
      const int turns = schedule.placement.kind == PlacementKind::v ? v - 1 : 0;
      EXPECT_EQ(found.messages, p == 1 ? 0 : 2 * m * (p * v - 1 - turns));
      EXPECT_EQ(std::accumulate(found.sent.begin(), found.sent.end(), 0), found.messages);
    }
  }
}

}  // namespace
}  // namespace trireme::schedules
