#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/comm/communicator.h"

namespace trireme::test {

// Ranks as threads, with the backend under test: each test program links its own.
std::vector<std::unique_ptr<runtime::Communicator>> make_ranks(
    int size, runtime::CommunicatorOptions options = {.timeout = std::chrono::seconds(30)});

// Runs `body` once per rank, each on its own thread, and rethrows the first failure.
inline void on_ranks(int size, const std::function<void(runtime::Communicator&)>& body,
                     runtime::CommunicatorOptions options = {.timeout = std::chrono::seconds(30)}) {
  auto world = make_ranks(size, options);
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(size));
  {
    std::vector<std::jthread> threads;
    for (std::size_t rank = 0; rank < world.size(); ++rank) {
      threads.emplace_back([&, rank] {
        try {
          body(*world[rank]);
        } catch (...) {
          failures[rank] = std::current_exception();
        }
      });
    }
  }
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

}  // namespace trireme::test
