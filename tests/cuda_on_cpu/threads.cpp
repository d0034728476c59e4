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
constexpr std::size_t kExchangedBytes = 16;

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
  std::array<std::array<std::byte, kExchangedBytes>, 2> given = {};
  unsigned exchanges = 0;
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
    while (step()) {
    }
    if (const auto failure = std::exchange(failure_, nullptr)) std::rethrow_exception(failure);
  }

  void wait(State state) {
    Thread& thread = *running_;
    thread.state = state;
    thread.place.stop_here([&] { scheduler_.go_on(); });
  }

  void exchange(const void* value, std::size_t bytes, unsigned lane, void* result) {
    if (bytes > kExchangedBytes) throw std::logic_error("exchange of more than 16 bytes");
    Thread& mine = *running_;
    const std::size_t number = number_of(mine), place = mine.exchanges++ % 2;
    std::memcpy(mine.given[place].data(), value, bytes);
    wait(State::waits_for_warp);
    const std::size_t other = number / kWarpSize * kWarpSize + lane % kWarpSize;
    const Thread& from = *threads_[other < count_ ? other : number];
    std::memcpy(result, from.given[place].data(), bytes);
  }

 private:
  void start(Thread& thread, Index size, std::size_t number) {
    const auto n = static_cast<unsigned>(number);
    thread.index = {n % size.x, n / size.x % size.y, n / size.x / size.y};
    thread.state = State::runs;
    thread.exchanges = 0;
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

  // One turn of every thread that may run, beginning anywhere and going either way: who counts on
  // an order without a barrier is found out. False when all have ended.
  bool step() {
    bool ran = false;
    const std::size_t begin = random_() % count_, stride = random_() % 2 == 0 ? 1 : count_ - 1;
    for (std::size_t i = 0; i < count_; ++i) {
      Thread& thread = *threads_[(begin + i * stride) % count_];
      if (thread.state != State::runs) continue;
      ran = true;
      resume(thread);
    }
    const bool let_on = release_warps() || release_block();
    if (ran || let_on) return true;
    const bool waits = std::any_of(threads_.begin(), threads_.begin() + last(),
                                   [](const auto& t) { return t->state != State::ended; });
    if (waits) {
      threads_.clear();  // they cannot be brought back from where they are
      if (failure_) return false;
      throw std::logic_error("threads of a block wait for each other at different barriers");
    }
    return false;
  }

  bool release_warps() {
    bool released = false;
    for (std::size_t first = 0; first < count_; first += kWarpSize) {
      released |= release(first, std::min(count_, first + kWarpSize), State::waits_for_warp);
    }
    return released;
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
void exchange_in_warp(const void* value, std::size_t bytes, unsigned lane, void* result) {
  the_block.exchange(value, bytes, lane, result);
}

}  // namespace trireme::cuda_on_cpu
