#pragma once

#include <cstddef>
#include <memory>
#include <span>

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

// Copies with as many threads as OpenMP has here. The ranges do not overlap.
void copy_host_memory(std::span<const std::byte> from, std::byte* to);

}  // namespace trireme::kernels
