#include "kernels/module.h"
#include "runtime/comm/nccl/nccl_communicator.h"
#include "runtime/comm/nccl_world.h"

namespace trireme::runtime {

std::unique_ptr<Communicator> make_nccl(std::unique_ptr<Communicator> inner,
                                        kernels::Backend& device, CommunicatorOptions options) {
  static const kernels::Module module("libtrireme_nccl.so");
  const auto make = module.find<decltype(&trireme_make_nccl)>("trireme_make_nccl");
  if (!make) {
    throw CommunicationError("NCCL cannot be used: " + module.problem() +
                             "; install libnccl2, or set train.transport = \"host\"");
  }
  return std::unique_ptr<Communicator>(make(inner.release(), &device, &options));
}

}  // namespace trireme::runtime
