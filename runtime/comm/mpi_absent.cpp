#include "runtime/comm/communicator.h"

namespace trireme::runtime {

std::unique_ptr<Communicator> make_mpi_world(CommunicatorOptions) {
  throw CommunicationError("this build has no MPI; configure with -DWITH_MPI=ON");
}

}  // namespace trireme::runtime
