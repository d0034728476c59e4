#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <utility>

#include "kernels/backend.h"

namespace trireme::runtime {

// Memory of the host that copies to and from a device are fastest with, and do not stop for:
// making it takes long, so what was given back is kept for the next who asks for as much. One
// thread takes and gives back.
class HostPool {
 public:
  explicit HostPool(kernels::Backend& backend) : backend_(backend) {}

  // Given back when the last owner lets it go, which may be after the pool is gone.
  std::shared_ptr<std::byte[]> take(std::size_t bytes) {
    std::shared_ptr<std::byte[]> memory;
    if (const auto found = free_->find(bytes); found != free_->end()) {
      memory = std::move(found->second);
      free_->erase(found);
    } else {
      memory = backend_.host_memory(bytes);
    }
    std::byte* data = memory.get();
    return {data, [free = std::weak_ptr(free_), memory = std::move(memory), bytes](std::byte*) {
              if (const auto pool = free.lock()) pool->emplace(bytes, memory);
            }};
  }

 private:
  using Free = std::multimap<std::size_t, std::shared_ptr<std::byte[]>>;

  kernels::Backend& backend_;
  std::shared_ptr<Free> free_ = std::make_shared<Free>();
};

}  // namespace trireme::runtime
