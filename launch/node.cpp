#include "launch/node.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

#include "kernels/backend.h"

namespace trireme::launch {

int usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return node_cores();
  return std::min(CPU_COUNT(&cores), kernels::cpu_thread_limit());
}

int node_cores() { return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)); }

std::int64_t node_memory() { return sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE); }

}  // namespace trireme::launch
