#include "runtime/comm/nccl_world.h"

namespace trireme::runtime {

std::unique_ptr<Communicator> make_nccl(std::unique_ptr<Communicator>, kernels::Backend&,
                                        CommunicatorOptions) {
  throw CommunicationError("this build has no NCCL; configure with -DWITH_CUDA=ON");
}

}  // namespace trireme::runtime
