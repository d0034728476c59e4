#pragma once

#include <string>
#include <vector>

#include "schedules/schedule.h"

namespace trireme::schedules {

// What every generator needs to know.
struct PipelineShape {
  int ranks = 1;
  int micro_batches = 1;
  int virtual_stages = 1;  // stages per rank
  // Micro-batches that pass a chunk together, for the interleaved kinds; 0: the kind's own choice.
  int group_size = 0;
};

// Each generator is a pure function of the shape. It throws ScheduleError if the shape breaks the
// kind's rule. F, B, W: the cost of a rank's whole share; p ranks, m micro-batches, v chunks.

// All forward passes, then all backward passes. Memory m. (Huang et al. 2019, arXiv:1811.06965)
Schedule gpipe(const PipelineShape& shape);

// GPipe with v chunks per rank, chunk after chunk. Memory m.
// (Lamy-Poirier 2023, arXiv:2211.05953)
Schedule looped_bfs(const PipelineShape& shape);

// One forward, one backward. Memory min(p - rank, m). (Narayanan et al. 2021, arXiv:2104.04473)
Schedule one_f_one_b(const PipelineShape& shape);

// 1F1B over v chunks: the bubble divided by v, messages times v. Memory p + (p - 1) / v. Any m:
// micro-batches pass a chunk in groups as equal as they can be, of at least p if m allows.
// (Narayanan et al. 2021, arXiv:2104.04473)
Schedule interleaved(const PipelineShape& shape);

// Interleaved 1F1B with half the warm-up, by groups of g = p / 2 to p micro-batches. Memory
// ((v - 1) g + p - rank) / v. (Wan et al. 2025, arXiv:2503.01328)
Schedule group_interleaved(const PipelineShape& shape);

// 1F1B whose weight gradients wait for the cool-down. Memory p on every rank.
// (Qi et al. 2023, arXiv:2401.10241)
Schedule zb_h1(const PipelineShape& shape);

// Twice the warm-up of ZB-H1: no bubble between steps if F = B = W. Memory 2p - 1.
// (Qi et al. 2023, arXiv:2401.10241)
Schedule zb_h2(const PipelineShape& shape);

// ZB-H1 over v chunks. Memory p on every rank.
Schedule interleaved_zb(const PipelineShape& shape);

// ZB-H2 over v chunks: two forward passes of warm-up per hop. Memory p + (p - 1) / v.
Schedule interleaved_zb_h2(const PipelineShape& shape);

// Two chunks per rank in a V: no bubble between steps if F = B = W, in the memory of 1F1B.
// (Qi et al. 2023, arXiv:2401.10241)
Schedule zb_v(const PipelineShape& shape);

// A repeated block of passes in a V that keeps half, or a third, of 1F1B's activations.
// (Qi et al. 2024, arXiv:2405.15362)
Schedule v_half(const PipelineShape& shape);
Schedule v_min(const PipelineShape& shape);

// The same idea with undivided backward passes, two thirds of 1F1B's activations.
// (Qi et al. 2024, arXiv:2405.15362)
Schedule one_f_one_b_v(const PipelineShape& shape);

// Two directions at once, forward passes of one beside backward passes of the other; two copies
// of the parameters. p and m even, m >= 2p. (DeepSeek-AI 2024, arXiv:2412.19437)
Schedule dual_pipe(const PipelineShape& shape);

// DualPipe cut in the middle and folded into a V: one copy of the parameters. m >= 2p.
Schedule dual_pipe_v(const PipelineShape& shape);

}  // namespace trireme::schedules
