#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>

#include "kernels/memory.h"
#include "kernels/stream.h"

namespace trireme::kernels {

// A CUDA stream that does not wait for the legacy default stream.
class CudaStream final : public Stream {
 public:
  enum class Urgency { usual, highest };

  // `memory` is told when the stream goes.
  CudaStream(int device, Pool& memory, Urgency urgency);
  ~CudaStream() override;

  using Stream::wait_for;
  std::shared_ptr<const Event> record() override;
  std::shared_ptr<const Instant> instant() override;
  void wait_for(std::shared_ptr<const Event> event) override;
  void synchronize() override;
  Fail failing() override {
    return [to = failure_](std::exception_ptr failure) { to->set(std::move(failure)); };
  }

  std::shared_ptr<Hold> hold();

  int device() const { return device_; }
  cudaStream_t native() const { return stream_; }

 private:
  // The first failure that nobody has been told of. Holds may set it when the stream is gone.
  class Failure {
   public:
    void set(std::exception_ptr failure) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::move(failure);
    }
    std::exception_ptr take() {
      const std::lock_guard lock(mutex_);
      return std::exchange(failure_, nullptr);
    }

   private:
    std::mutex mutex_;
    std::exception_ptr failure_;
  };
  class Gate;
  class GateHold;

  int device_;
  Pool& memory_;
  cudaStream_t stream_ = nullptr;
  std::shared_ptr<Failure> failure_ = std::make_shared<Failure>();
  std::shared_ptr<Gate> gate_;
};

// Streams of the CUDA backend are CudaStreams; anything else is a caller's mistake.
CudaStream& cuda(Stream& stream);

// What the runtime calls it. Its device becomes that of the calling thread: CUDA wants it so.
cudaStream_t native(Stream& stream);

}  // namespace trireme::kernels
