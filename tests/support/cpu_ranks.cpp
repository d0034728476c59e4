#include "runtime/comm/local_world.h"
#include "tests/support/ranks.h"

namespace trireme::test {

std::vector<std::unique_ptr<runtime::Communicator>> make_ranks(
    int size, runtime::CommunicatorOptions options) {
  return runtime::make_local_world(size, options);
}

}  // namespace trireme::test
