#pragma once

#include "kernels/caching_pool.h"

namespace trireme::kernels {

// Memory of the host, in huge pages where a block fills one.
class HostMemory final : public MemorySource {
 public:
  void* allocate(std::size_t bytes) override;
  void free(void* data) override;
};

// The same for those who share it.
std::shared_ptr<std::byte[]> make_host_memory(std::size_t bytes);

}  // namespace trireme::kernels
