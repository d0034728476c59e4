#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trireme::schedules {

// What must come before what. Nodes are numbers from 0.
class Graph {
 public:
  explicit Graph(std::size_t nodes) : after_(nodes) {}

  void add_edge(std::size_t before, std::size_t after) {
    after_[before].push_back(static_cast<std::uint32_t>(after));
  }

  // Nodes so that every edge goes forward; those on a cycle, and behind one, are missing.
  std::vector<std::size_t> topological_order() const;

  // Nodes of one cycle, each before the next and the last before the first; empty if there is none.
  std::vector<std::size_t> find_cycle() const;

  std::span<const std::uint32_t> after(std::size_t node) const { return after_[node]; }
  std::size_t nodes() const { return after_.size(); }

 private:
  std::vector<std::vector<std::uint32_t>> after_;
};

}  // namespace trireme::schedules
