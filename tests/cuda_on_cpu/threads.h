#pragma once

#include <cstddef>
#include <functional>

// The threads of a CUDA grid on one thread of the processor: blocks one after the other, the
// threads of a block in turns that end at its barriers.
namespace trireme::cuda_on_cpu {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

constexpr unsigned kWarpSize = 32;

// Of the thread that runs.
inline thread_local Index thread_index, block_index, block_size, grid_size;

// Runs `body` once for each thread of each block. Throws std::logic_error if threads of a block
// wait for each other at different barriers: on a GPU they would hang, or worse.
void run_grid(Index grid, Index block, const std::function<void()>& body);

// The barriers: of all threads of the block that have not ended, and of those of a warp.
void wait_for_block();
void wait_for_warp();

// Gives something to the warp; then what each lane gave can be read, until it gives again.
void give_to_warp(const void* value, std::size_t bytes);
const void* given_by(unsigned lane);

}  // namespace trireme::cuda_on_cpu
