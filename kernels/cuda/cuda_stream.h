#pragma once

#include <cuda_runtime.h>

#include "kernels/stream.h"

namespace trireme::kernels {

// A CUDA stream that does not wait for the legacy default stream.
class CudaStream final : public Stream {
 public:
  CudaStream();
  ~CudaStream() override;

  using Stream::wait_for;
  std::shared_ptr<const Event> record() override;
  void wait_for(std::shared_ptr<const Event> event) override;
  void synchronize() override;

  cudaStream_t native() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// Streams of the CUDA backend are CudaStreams; anything else is a caller's mistake.
cudaStream_t native(Stream& stream);

}  // namespace trireme::kernels
