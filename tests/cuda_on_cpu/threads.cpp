#include "tests/cuda_on_cpu/threads.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

namespace trireme::cuda_on_cpu {
namespace {

constexpr std::size_t kStackBytes = std::size_t{128} << 10;
constexpr std::size_t kGivenBytes = 32;

enum class State { runs, waits_for_block, waits_for_warp, ended };

// Where a thread, or the one that gives them turns, goes on. Jumps, not contexts: these would cost
// a system call each.
struct Place {
  jmp_buf jump = {};

  template <class Leave>
  void stop_here(const Leave& leave) {
    if (_setjmp(jump) == 0) leave();
  }
  [[noreturn]] void go_on() { _longjmp(jump, 1); }
};

struct Thread {
  State state = State::runs;
  Index index;
  bool has_stack = false;
  Place place;
  std::unique_ptr<std::byte[]> stack = std::make_unique<std::byte[]>(kStackBytes);
  // What it last gave to its warp, and the time before: two, so that one barrier is enough.
  std::array<std::array<std::byte, kGivenBytes>, 2> given = {};
  unsigned times = 0;
};

// A block under way. There is one for each thread of the processor.
class Block {
 public:
  void run(Index size, const std::function<void()>& body) {
    body_ = &body;
    const std::size_t count = std::size_t{size.x} * size.y * size.z;
    while (threads_.size() < count) threads_.push_back(std::make_unique<Thread>());
    count_ = count;
    for (std::size_t i = 0; i < count; ++i) start(*threads_[i], size, i);
    side_by_side_ = random_() % 2 == 0;
    while (step()) {
    }
    if (const auto failure = std::exchange(failure_, nullptr)) std::rethrow_exception(failure);
  }

  void wait(State state) {
    Thread& thread = *running_;
    thread.state = state;
    thread.place.stop_here([&] { scheduler_.go_on(); });
  }

  void give(const void* value, std::size_t bytes) {
    if (bytes > kGivenBytes) throw std::logic_error("more than a warp can be given");
    std::memcpy(running_->given[running_->times++ % 2].data(), value, bytes);
    wait(State::waits_for_warp);
  }

  const void* given_by(unsigned lane) const {
    const std::size_t number = number_of(*running_);
    const std::size_t other = number / kWarpSize * kWarpSize + lane % kWarpSize;
    const Thread& from = *threads_[other < count_ ? other : number];
    return from.given[(running_->times - 1) % 2].data();
  }

 private:
  void start(Thread& thread, Index size, std::size_t number) {
    const auto n = static_cast<unsigned>(number);
    thread.index = {n % size.x, n / size.x % size.y, n / size.x / size.y};
    thread.state = State::runs;
    thread.times = 0;
  }

  void resume(Thread& thread) {
    running_ = &thread;
    thread_index = thread.index;
    scheduler_.stop_here([&] {
      if (thread.has_stack) thread.place.go_on();
      thread.has_stack = true;
      ucontext_t context;
      getcontext(&context);
      context.uc_stack.ss_sp = thread.stack.get();
      context.uc_stack.ss_size = kStackBytes;
      makecontext(&context, &Block::live, 0);
      setcontext(&context);
    });
  }

  // One life after the other on the same stack.
  static void live();
  void live_once() {
    try {
      (*body_)();
    } catch (...) {
      failure_ = std::current_exception();
    }
    wait(State::ended);
  }

  // Everyone runs to a barrier. Of a block, either all warps go side by side or one after the other
  // as far as it can, in any order: who counts on an order without a barrier is found out. False
  // when all have ended.
  bool step() {
    bool ran = false;
    const std::size_t warps = (count_ + kWarpSize - 1) / kWarpSize, begin = random_() % warps;
    for (std::size_t w = 0; w < warps; ++w) {
      const std::size_t first = (begin + w) % warps * kWarpSize;
      const std::size_t end = std::min(count_, first + kWarpSize);
      while (run_warp(first, end)) {
        ran = true;
        if (side_by_side_) break;
      }
    }
    if (ran || release_block()) return true;
    const bool waits = std::any_of(threads_.begin(), threads_.begin() + last(),
                                   [](const auto& t) { return t->state != State::ended; });
    if (waits) {
      threads_.clear();  // they cannot be brought back from where they are
      if (failure_) return false;
      throw std::logic_error("threads of a block wait for each other at different barriers");
    }
    return false;
  }

  // One turn of each of its threads that may run, beginning anywhere and going either way. False if
  // none may.
  bool run_warp(std::size_t first, std::size_t end) {
    release(first, end, State::waits_for_warp);
    const std::size_t size = end - first;
    const std::size_t begin = random_() % size, stride = random_() % 2 == 0 ? 1 : size - 1;
    bool ran = false;
    for (std::size_t i = 0; i < size; ++i) {
      Thread& thread = *threads_[first + (begin + i * stride) % size];
      if (thread.state != State::runs) continue;
      ran = true;
      resume(thread);
    }
    return ran;
  }

  bool release_block() { return release(0, count_, State::waits_for_block); }

  // If all threads of the range that have not ended wait so, they run on.
  bool release(std::size_t first, std::size_t end, State waiting) {
    bool any = false;
    for (std::size_t i = first; i < end; ++i) {
      const State state = threads_[i]->state;
      if (state == State::ended) continue;
      if (state != waiting) return false;
      any = true;
    }
    for (std::size_t i = first; i < end && any; ++i) {
      if (threads_[i]->state == waiting) threads_[i]->state = State::runs;
    }
    return any;
  }

  std::size_t number_of(const Thread& thread) const {
    return thread.index.x + block_size.x * (thread.index.y + block_size.y * thread.index.z);
  }
  std::ptrdiff_t last() const { return static_cast<std::ptrdiff_t>(count_); }

  std::vector<std::unique_ptr<Thread>> threads_;
  std::size_t count_ = 0;
  const std::function<void()>* body_ = nullptr;
  Thread* running_ = nullptr;
  Place scheduler_;
  std::minstd_rand random_{1};
  bool side_by_side_ = true;
  std::exception_ptr failure_;
};

thread_local Block the_block;

void Block::live() {
  while (true) the_block.live_once();
}

}  // namespace

void run_grid(Index grid, Index block, const std::function<void()>& body) {
  grid_size = grid;
  block_size = block;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        block_index = {x, y, z};
        the_block.run(block, body);
      }
    }
  }
}

void wait_for_block() { the_block.wait(State::waits_for_block); }
void wait_for_warp() { the_block.wait(State::waits_for_warp); }
void give_to_warp(const void* value, std::size_t bytes) { the_block.give(value, bytes); }
const void* given_by(unsigned lane) { return the_block.given_by(lane); }

}  // namespace trireme::cuda_on_cpu
