#include <thread>

#include "runtime/comm/local_world.h"
#include "runtime/comm/nccl_world.h"
#include "tests/support/device.h"
#include "tests/support/ranks.h"

namespace trireme::test {

std::vector<std::unique_ptr<runtime::Communicator>> make_ranks(
    int size, runtime::CommunicatorOptions options) {
  static const std::unique_ptr<kernels::Backend> device = make_backend(1);
  auto ranks = runtime::make_local_world(size, options);
  {
    std::vector<std::jthread> threads;  // they wait for each other
    for (auto& rank : ranks) {
      threads.emplace_back([&] { rank = runtime::make_nccl(std::move(rank), *device, options); });
    }
  }
  return ranks;
}

}  // namespace trireme::test
