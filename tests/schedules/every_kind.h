#pragma once

#include <string>
#include <utility>
#include <vector>

#include "schedules/generate.h"

namespace trireme::schedules {

// Every generator at a few shapes that it takes, fewer micro-batches than ranks among them.
inline std::vector<std::pair<std::string, Schedule>> every_kind() {
  using Generator = Schedule (*)(const PipelineShape&);
  const std::vector<Generator> one_chunk = {gpipe, one_f_one_b, zb_h1, zb_h2};
  const std::vector<Generator> two_chunks = {zb_v, v_half, v_min, one_f_one_b_v};
  const std::vector<Generator> any_chunks = {interleaved, group_interleaved, looped_bfs,
                                             interleaved_zb, interleaved_zb_h2};
  std::vector<std::pair<std::string, Schedule>> all;
  const auto add = [&](Generator generate, const PipelineShape& shape) {
    Schedule schedule = generate(shape);
    all.push_back({schedule.kind + " p=" + std::to_string(shape.ranks) +
                       " m=" + std::to_string(shape.micro_batches) +
                       " v=" + std::to_string(shape.virtual_stages),
                   std::move(schedule)});
  };
  for (const auto& [ranks, micro_batches] :
       std::vector<std::pair<int, int>>{{1, 3}, {2, 5}, {4, 2}, {4, 8}, {5, 12}}) {
    for (const Generator generate : one_chunk) add(generate, {ranks, micro_batches, 1, 0});
    for (const Generator generate : two_chunks) add(generate, {ranks, micro_batches, 2, 0});
    for (const Generator generate : any_chunks) {
      for (const int chunks : {2, 3}) add(generate, {ranks, micro_batches, chunks, 0});
    }
  }
  add(dual_pipe, {4, 8, 1, 0});
  add(dual_pipe, {2, 6, 1, 0});
  add(dual_pipe_v, {3, 7, 2, 0});
  return all;
}

}  // namespace trireme::schedules
