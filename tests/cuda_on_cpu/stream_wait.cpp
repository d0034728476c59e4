#include "kernels/cuda/stream_wait.h"

#include <atomic>
#include <chrono>
#include <thread>

namespace trireme::kernels {

void wait_until_at_least(cudaStream_t stream, const std::uint32_t* address, std::uint32_t number) {
  stream->queue.enqueue_always([address, number](const std::exception_ptr&) {
    std::atomic_ref opened(*const_cast<std::uint32_t*>(address));
    while (static_cast<std::int32_t>(opened.load(std::memory_order_acquire) - number) < 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  });
}

}  // namespace trireme::kernels
