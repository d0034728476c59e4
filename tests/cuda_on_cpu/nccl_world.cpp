#include "runtime/comm/nccl_world.h"

#include "runtime/comm/nccl/nccl_communicator.h"

namespace trireme::runtime {

// Linked here, not loaded.
std::unique_ptr<Communicator> make_nccl(std::unique_ptr<Communicator> inner,
                                        kernels::Backend& device, CommunicatorOptions options) {
  return std::unique_ptr<Communicator>(trireme_make_nccl(inner.release(), &device, &options));
}

}  // namespace trireme::runtime
