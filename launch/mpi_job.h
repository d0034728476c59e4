#pragma once

#include <memory>

#include "launch/bootstrap.h"

namespace trireme::launch {

// Brings MPI up, and down when the job goes. Throws CommunicationError if this build has no MPI, or
// if MPI does not let several threads communicate at once.
std::unique_ptr<Job> make_mpi_job();

}  // namespace trireme::launch
