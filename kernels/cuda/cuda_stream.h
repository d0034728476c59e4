#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>

#include "kernels/stream.h"

namespace trireme::kernels {

// A CUDA stream that does not wait for the legacy default stream.
class CudaStream final : public Stream {
 public:
  explicit CudaStream(int device);
  ~CudaStream() override;

  using Stream::wait_for;
  std::shared_ptr<const Event> record() override;
  void wait_for(std::shared_ptr<const Event> event) override;
  void synchronize() override;

  std::shared_ptr<Hold> hold();

  int device() const { return device_; }
  cudaStream_t native() const { return stream_; }

 private:
  class Gate;
  class GateHold;

  int device_;
  cudaStream_t stream_ = nullptr;
  std::shared_ptr<Gate> gate_;  // made for the first hold
};

// Streams of the CUDA backend are CudaStreams; anything else is a caller's mistake.
CudaStream& cuda(Stream& stream);

// What the runtime calls it. Its device becomes that of the calling thread: CUDA wants it so.
cudaStream_t native(Stream& stream);

}  // namespace trireme::kernels
