#include "launch/mpi_job.h"

namespace trireme::launch {

std::unique_ptr<Job> make_mpi_job() {
  throw runtime::CommunicationError("this build has no MPI; configure with -DWITH_MPI=ON");
}

}  // namespace trireme::launch
