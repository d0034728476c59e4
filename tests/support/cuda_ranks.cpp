#include "runtime/comm/local_world.h"
#include "runtime/comm/staged_communicator.h"
#include "tests/support/device.h"
#include "tests/support/ranks.h"

namespace trireme::test {

std::vector<std::unique_ptr<runtime::Communicator>> make_ranks(
    int size, runtime::CommunicatorOptions options) {
  static const std::unique_ptr<kernels::Backend> device = make_backend(1);
  auto ranks = runtime::make_local_world(size, options);
  for (auto& rank : ranks) rank = runtime::make_staged(std::move(rank), *device);
  return ranks;
}

}  // namespace trireme::test
