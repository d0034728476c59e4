#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/schedules/generators.h"
#include "tests/schedules/random_schedule.h"

// Generated schedules take the time that the literature derives for them: the bubble, beyond the
// time of m micro-batches on one rank. p ranks, m micro-batches, v chunks per rank.
namespace trireme::schedules {
namespace {

constexpr double kExact = 1e-9;

struct Bubble {
  double makespan = 0;
  double span = 0;
};

Bubble bubble_of(const Schedule& schedule, const Costs& costs, const StageCost& share) {
  const Timeline timeline = simulate(schedule, costs);
  const double work = schedule.micro_batches * share.whole();
  return {timeline.makespan() - work, timeline.span() - work};
}

Bubble bubble_of(const Schedule& schedule, const StageCost& share, double communication) {
  return bubble_of(schedule, Costs::even(schedule.placement, share, communication), share);
}

// Passes of one length first, then of any. The weight gradient is never longer than the others:
// the closed forms of schedules that fill bubbles with it say nothing else.
std::vector<StageCost> shares(std::mt19937& dice) {
  std::vector<StageCost> all = {{1, 1, 1}, {1, 1.2, 0.8}};
  for (int i = 0; i < 3; ++i) {
    const double weight = 0.5 + fraction(dice);
    all.push_back({weight + fraction(dice), weight + fraction(dice), weight});
  }
  return all;
}

// Calls `body(shape, share)` on every shape and a few costs.
template <typename Body>
void for_each_case(const std::string& kind, const Body& body) {
  std::mt19937 dice(7);
  for (const PipelineShape& shape : shapes_of(generator_named(kind), 9, 20)) {
    for (const StageCost& share : shares(dice)) {
      SCOPED_TRACE(testing::Message() << text_of(shape) << ", F " << share.forward << ", B "
                                      << share.backward_input << ", W " << share.backward_weight);
      body(shape, share);
    }
  }
}

TEST(BubbleOf, GPipe) {
  for_each_case("gpipe", [](const PipelineShape& shape, const StageCost& share) {
    const auto [p, m, v, group] = shape;
    for (const double message : {0.0, 0.3, 10.0}) {
      const Bubble bubble = bubble_of(gpipe(shape), share, message);
      EXPECT_NEAR(bubble.makespan, (p - 1) * (share.whole() + 2 * message), kExact);
      EXPECT_NEAR(bubble.span, bubble.makespan, kExact);
    }
  });
}

TEST(BubbleOf, OneForwardOneBackward) {
  for_each_case("one_f_one_b", [](const PipelineShape& shape, const StageCost& share) {
    const Bubble bubble = bubble_of(one_f_one_b(shape), share, 0);
    EXPECT_NEAR(bubble.makespan, (shape.ranks - 1) * share.whole(), kExact);
    EXPECT_NEAR(bubble.span, bubble.makespan, kExact);
  });
}

// Its messages are not hidden: the bubble grows with the number of micro-batches.
TEST(BubbleOf, OneForwardOneBackwardWithMessages) {
  for_each_case("one_f_one_b", [](const PipelineShape& shape, const StageCost& share) {
    const auto [p, m, v, group] = shape;
    if (p == 1 || m % p != 0) return;
    const double message = 0.1;
    EXPECT_NEAR(bubble_of(one_f_one_b(shape), share, message).makespan,
                (p - 1) * share.whole() + 2 * message * ((p - 1) * m / p + p - 2), kExact);
  });
}

// (Narayanan et al. 2021, arXiv:2104.04473), for any number of micro-batches that fills the pipe.
TEST(BubbleOf, Interleaved) {
  for_each_case("interleaved", [](const PipelineShape& shape, const StageCost& share) {
    const auto [p, m, v, group] = shape;
    // Fewer than p pass each chunk in one go, at the pace of the ranks.
    const double expected =
        m >= p ? (p - 1) * share.whole() / v : share.whole() * ((p * v + m - 1.0) / v - m);
    const Bubble bubble = bubble_of(interleaved(shape), share, 0);
    EXPECT_NEAR(bubble.makespan, expected, kExact);
    EXPECT_NEAR(bubble.span, bubble.makespan, kExact);
  });
}

// If the micro-batches of a chunk take longer than a message needs to come around.
TEST(BubbleOf, LoopedBreadthFirst) {
  int cases = 0;
  for_each_case("looped_bfs", [&](const PipelineShape& shape, const StageCost& share) {
    const auto [p, m, v, group] = shape;
    for (const double message : {0.0, 0.07}) {
      const double shortest =
          std::min(share.forward, share.backward_input + share.backward_weight) / v;
      if (v > 1 && m * shortest < p * (shortest + message)) continue;
      ++cases;
      EXPECT_NEAR(bubble_of(looped_bfs(shape), share, message).makespan,
                  (p - 1) * (share.whole() / v + 2 * message), kExact);
    }
  });
  EXPECT_GT(cases, 4000);
}

// (Qi et al. 2023, arXiv:2401.10241), with v chunks.
void expect_zb_h1_bubble(const std::string& kind) {
  for_each_case(kind, [&](const PipelineShape& shape, const StageCost& share) {
    const auto [p, m, v, group] = shape;
    const double input_path = share.forward + share.backward_input;
    double expected = (p - 1) * (input_path - share.backward_weight) / v;
    if (m < p) {
      if (v > 1 && 2 * m > p) return;  // no closed form
      expected = (input_path * (p * v + m - 1) + share.backward_weight) / v - m * share.whole();
    }
    const Bubble bubble = bubble_of(generator_named(kind).generate(shape), share, 0);
    EXPECT_NEAR(bubble.makespan, expected, kExact);
    EXPECT_NEAR(bubble.span, bubble.makespan, kExact);
  });
}

TEST(BubbleOf, ZbH1) { expect_zb_h1_bubble("zb_h1"); }
TEST(BubbleOf, InterleavedZb) { expect_zb_h1_bubble("interleaved_zb"); }

TEST(BubbleOf, ZbH2) {
  for_each_case("zb_h2", [](const PipelineShape& shape, const StageCost& share) {
    const auto [p, m, v, group] = shape;
    if (m < 2 * p) return;
    for (const double message : {0.0, 0.1}) {
      const Bubble bubble = bubble_of(zb_h2(shape), share, message);
      const double span = (p - 1) * (share.forward + share.backward_input + 2 * message -
                                     2 * share.backward_weight);
      EXPECT_NEAR(bubble.span, span, kExact);
      EXPECT_NEAR(bubble.makespan, std::max(span, (p - 1) * (share.forward + message)), kExact);
    }
  });
}

// Passes of one length leave nothing to be filled.
TEST(BubbleOf, ZbV) {
  for (const PipelineShape& shape : shapes_of(generator_named("zb_v"), 9, 24)) {
    if (shape.micro_batches < 2 * shape.ranks - 1) continue;
    SCOPED_TRACE(text_of(shape));
    const Bubble bubble = bubble_of(zb_v(shape), {1, 1, 1}, 0);
    EXPECT_NEAR(bubble.makespan, (shape.ranks - 1) / 2.0, kExact);
    EXPECT_NEAR(bubble.span, 0, kExact);
  }
}

// ZB-H2's warm-up over v chunks; more ranks would need larger groups of micro-batches.
TEST(BubbleOf, InterleavedZbH2) {
  for (const PipelineShape& shape : shapes_of(generator_named("interleaved_zb_h2"), 9, 24)) {
    if (shape.ranks > 4 || shape.micro_batches < 2 * shape.ranks) continue;
    SCOPED_TRACE(text_of(shape));
    const Bubble bubble = bubble_of(interleaved_zb_h2(shape), {1, 1, 1}, 0);
    EXPECT_NEAR(bubble.makespan, (shape.ranks - 1.0) / shape.virtual_stages, kExact);
    EXPECT_NEAR(bubble.span, 0, kExact);
  }
}

constexpr double kUnknown = -1;

// What Qi et al. 2024, arXiv:2405.15362 give for passes of one length.
void expect_unit_bubble(const std::string& kind, double (*bubble)(int p)) {
  for (const PipelineShape& shape : shapes_of(generator_named(kind), 16, 36)) {
    const auto [p, m, v, group] = shape;
    if (p < 4 || m < 2 * p || bubble(p) == kUnknown) continue;
    SCOPED_TRACE(text_of(shape));
    const Bubble found = bubble_of(generator_named(kind).generate(shape), {1, 1, 1}, 0);
    EXPECT_NEAR(found.makespan, bubble(p), kExact);
    EXPECT_NEAR(found.span, bubble(p), kExact);
  }
}

TEST(BubbleOf, VHalf) {
  expect_unit_bubble("v_half",
                     [](int p) { return p % 2 == 0 ? (3 * p - 7) / 2.0 : (3 * p - 4) / 2.0; });
}
TEST(BubbleOf, VMin) {
  expect_unit_bubble("v_min", [](int p) { return p % 3 == 0 ? 2 * p - 3.5 : 2 * p - 2.5; });
}
TEST(BubbleOf, OneForwardOneBackwardV) {
  expect_unit_bubble("one_f_one_b_v", [](int p) {
    return p % 3 == 0 ? kUnknown : 2.5 * (p - 1) - (p % 3 == 2 ? 1 : 0);
  });
}

// (DeepSeek-AI 2024, arXiv:2412.19437), F as long as B.
void expect_dual_pipe_bubble(const std::string& kind, double (*arms)(int p)) {
  for_each_case(kind, [&](const PipelineShape& shape, StageCost share) {
    share.backward_input = share.forward;
    const Schedule schedule = generator_named(kind).generate(shape);
    const double backward = share.backward_input + share.backward_weight;
    EXPECT_NEAR(
        bubble_of(schedule, share, 0).makespan,
        arms(shape.ranks) * (share.forward + backward + backward - 3 * share.backward_weight),
        kExact);
  });
}

TEST(BubbleOf, DualPipe) {
  expect_dual_pipe_bubble("dual_pipe", [](int p) { return p / 2.0 - 1; });
}
TEST(BubbleOf, DualPipeV) {
  expect_dual_pipe_bubble("dual_pipe_v", [](int p) { return (p - 1) / 2.0; });
}

}  // namespace
}  // namespace trireme::schedules
