#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "schedules/generate.h"

// Every generator, for tests that ask the same of all of them.
namespace trireme::schedules {

struct Generator {
  std::string name;
  Schedule (*generate)(const PipelineShape&);
  std::vector<int> virtual_stages;  // that it takes; of those that take any, a few
  bool (*takes)(int ranks, int micro_batches);
};

inline void PrintTo(const Generator& generator, std::ostream* out) { *out << generator.name; }

inline const std::vector<Generator>& generators() {
  const auto any = [](int, int) { return true; };
  const auto twice = [](int ranks, int micro_batches) { return micro_batches >= 2 * ranks; };
  const auto even_and_twice = [](int ranks, int micro_batches) {
    return ranks % 2 == 0 && micro_batches % 2 == 0 && micro_batches >= 2 * ranks;
  };
  static const std::vector<Generator> all = {
      {"gpipe", gpipe, {1}, any},
      {"looped_bfs", looped_bfs, {1, 2, 3, 4}, any},
      {"one_f_one_b", one_f_one_b, {1}, any},
      {"interleaved", interleaved, {1, 2, 3, 4}, any},
      {"group_interleaved", group_interleaved, {1, 2, 3, 4}, any},
      {"zb_h1", zb_h1, {1}, any},
      {"zb_h2", zb_h2, {1}, any},
      {"interleaved_zb", interleaved_zb, {1, 2, 3, 4}, any},
      {"interleaved_zb_h2", interleaved_zb_h2, {1, 2, 3, 4}, any},
      {"zb_v", zb_v, {2}, any},
      {"v_half", v_half, {2}, any},
      {"v_min", v_min, {2}, any},
      {"one_f_one_b_v", one_f_one_b_v, {2}, any},
      {"dual_pipe", dual_pipe, {1}, even_and_twice},
      {"dual_pipe_v", dual_pipe_v, {2}, twice}};
  return all;
}

inline const Generator& generator_named(const std::string& name) {
  for (const Generator& generator : generators()) {
    if (generator.name == name) return generator;
  }
  throw ScheduleError("no generator is named " + name);
}

// All shapes up to a size that the generator takes.
inline std::vector<PipelineShape> shapes_of(const Generator& generator, int most_ranks,
                                            int most_micro_batches) {
  std::vector<PipelineShape> shapes;
  for (int ranks = 1; ranks <= most_ranks; ++ranks) {
    for (int micro_batches = 1; micro_batches <= most_micro_batches; ++micro_batches) {
      if (!generator.takes(ranks, micro_batches)) continue;
      for (const int virtual_stages : generator.virtual_stages) {
        shapes.push_back({ranks, micro_batches, virtual_stages, 0});
      }
    }
  }
  return shapes;
}

inline std::string text_of(const PipelineShape& shape) {
  return std::to_string(shape.ranks) + " ranks, " + std::to_string(shape.micro_batches) +
         " micro-batches, " + std::to_string(shape.virtual_stages) + " chunks, groups of " +
         std::to_string(shape.group_size);
}

}  // namespace trireme::schedules
