#include "schedules/graph.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/schedules/random_schedule.h"

namespace trireme::schedules {
namespace {

bool has_edge(const Graph& graph, std::size_t before, std::size_t after) {
  const auto next = graph.after(before);
  return std::find(next.begin(), next.end(), after) != next.end();
}

TEST(Graph, WithoutEdgesHasAnyOrder) {
  EXPECT_TRUE(Graph(0).topological_order().empty());
  EXPECT_TRUE(Graph(0).find_cycle().empty());
  EXPECT_EQ(Graph(3).topological_order().size(), 3u);
  EXPECT_TRUE(Graph(3).find_cycle().empty());
}

TEST(Graph, KeepsItsEdges) {
  Graph graph(3);
  graph.add_edge(0, 2);
  EXPECT_EQ(graph.nodes(), 3u);
  EXPECT_TRUE(has_edge(graph, 0, 2));
  EXPECT_FALSE(has_edge(graph, 2, 0));
}

TEST(Graph, OrdersEveryEdgeForward) {
  std::mt19937 dice(1);
  for (int i = 0; i < 200; ++i) {
    const int nodes = between(1, 40, dice);
    std::vector<std::size_t> hidden;  // an order that the edges respect
    for (int node = 0; node < nodes; ++node) {
      hidden.insert(hidden.begin() + between(0, node, dice), static_cast<std::size_t>(node));
    }
    Graph graph(hidden.size());
    for (int edge = between(0, 3 * nodes, dice); edge > 0; --edge) {
      const int a = between(0, nodes - 1, dice), b = between(0, nodes - 1, dice);
      if (a == b) continue;
      graph.add_edge(hidden[static_cast<std::size_t>(std::min(a, b))],
                     hidden[static_cast<std::size_t>(std::max(a, b))]);
    }
    const auto order = graph.topological_order();
    ASSERT_EQ(order.size(), graph.nodes());
    std::vector<std::size_t> place(order.size(), order.size());
    for (std::size_t k = 0; k < order.size(); ++k) place[order[k]] = k;
    for (std::size_t node = 0; node < graph.nodes(); ++node) {
      ASSERT_LT(place[node], order.size()) << "every node is there once";
      for (const auto next : graph.after(node)) EXPECT_LT(place[node], place[next]);
    }
    EXPECT_TRUE(graph.find_cycle().empty());
  }
}

TEST(Graph, LeavesOutCyclesAndWhatIsBehindThem) {
  Graph graph(6);
  graph.add_edge(0, 1);
  graph.add_edge(1, 2);
  graph.add_edge(2, 3);
  graph.add_edge(3, 1);
  graph.add_edge(3, 4);
  EXPECT_EQ(graph.topological_order(), (std::vector<std::size_t>{0, 5}));
}

TEST(Graph, FindsACycleInItsDirection) {
  Graph graph(5);
  graph.add_edge(0, 3);
  graph.add_edge(3, 1);
  graph.add_edge(1, 4);
  graph.add_edge(4, 3);
  graph.add_edge(4, 2);
  auto cycle = graph.find_cycle();
  ASSERT_EQ(cycle.size(), 3u);
  std::rotate(cycle.begin(), std::find(cycle.begin(), cycle.end(), 1u), cycle.end());
  EXPECT_EQ(cycle, (std::vector<std::size_t>{1, 4, 3}));
}

TEST(Graph, FindsANodeThatNeedsItself) {
  Graph graph(2);
  graph.add_edge(1, 1);
  EXPECT_EQ(graph.find_cycle(), std::vector<std::size_t>{1});
}

TEST(Graph, FindsACycleInAnyGraphThatHasOne) {
  std::mt19937 dice(8);
  int with_cycle = 0;
  for (int i = 0; i < 300; ++i) {
    const int nodes = between(1, 20, dice);
    Graph graph(static_cast<std::size_t>(nodes));
    for (int edge = between(0, 2 * nodes, dice); edge > 0; --edge) {
      graph.add_edge(static_cast<std::size_t>(between(0, nodes - 1, dice)),
                     static_cast<std::size_t>(between(0, nodes - 1, dice)));
    }
    const auto cycle = graph.find_cycle();
    EXPECT_EQ(cycle.empty(), graph.topological_order().size() == graph.nodes());
    if (cycle.empty()) continue;
    ++with_cycle;
    for (std::size_t k = 0; k < cycle.size(); ++k) {
      EXPECT_TRUE(has_edge(graph, cycle[k], cycle[(k + 1) % cycle.size()]));
      EXPECT_EQ(std::count(cycle.begin(), cycle.end(), cycle[k]), 1);
    }
  }
  EXPECT_GT(with_cycle, 100);
}

}  // namespace
}  // namespace trireme::schedules
