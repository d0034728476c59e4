#include "kernels/cuda/cuda_stream.h"

#include "kernels/cuda/cuda_check.h"

namespace trireme::kernels {
namespace {

class CudaEvent final : public Event {
 public:
  explicit CudaEvent(cudaStream_t stream) {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
    check(cudaEventRecord(event_, stream));
  }
  ~CudaEvent() override { cudaEventDestroy(event_); }  // nowhere to report from here

  bool reached() const override {
    const cudaError_t status = cudaEventQuery(event_);
    if (status != cudaErrorNotReady) check(status);
    return status == cudaSuccess;
  }
  void wait() const override { check(cudaEventSynchronize(event_)); }

  cudaEvent_t native() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

CudaStream::CudaStream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }

CudaStream::~CudaStream() {
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

std::shared_ptr<const Event> CudaStream::record() { return std::make_shared<CudaEvent>(stream_); }

void CudaStream::wait_for(std::shared_ptr<const Event> event) {
  const auto* recorded = dynamic_cast<const CudaEvent*>(event.get());
  expects(recorded != nullptr, "an event of the CUDA backend");
  check(cudaStreamWaitEvent(stream_, recorded->native()));
}

void CudaStream::synchronize() { check(cudaStreamSynchronize(stream_)); }

cudaStream_t native(Stream& stream) {
  auto* found = dynamic_cast<CudaStream*>(&stream);
  expects(found != nullptr, "a stream of the CUDA backend");
  return found->native();
}

}  // namespace trireme::kernels
