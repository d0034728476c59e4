#pragma once

#include "kernels/caching_pool.h"

namespace trireme::kernels {

// Memory of the host, in huge pages where a block fills one.
class HostMemory final : public MemorySource {
 public:
  void* allocate(std::size_t bytes) override;
  void free(void* data) override;
};

}  // namespace trireme::kernels
