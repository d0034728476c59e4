#include "kernels/cuda/cuda_stream.h"

#include <atomic>
#include <utility>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/stream_wait.h"

namespace trireme::kernels {
namespace {

class CudaEvent final : public Event {
 public:
  CudaEvent(int device, cudaStream_t stream) : device_(device) {
    // A thread that waits sleeps: there are more of them than a node has cores to spare.
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventBlockingSync));
    check(cudaEventRecord(event_, stream));
  }
  ~CudaEvent() override { cudaEventDestroy(event_); }  // nowhere to report from here

  bool reached() const override {
    check(cudaSetDevice(device_));
    const cudaError_t status = cudaEventQuery(event_);
    if (status != cudaErrorNotReady) check(status);
    return status == cudaSuccess;
  }
  void wait() const override {
    check(cudaSetDevice(device_));
    check(cudaEventSynchronize(event_));
  }

  cudaEvent_t native() const { return event_; }

 private:
  int device_;
  cudaEvent_t event_ = nullptr;
};

class CudaInstant final : public Instant {
 public:
  CudaInstant(int device, cudaStream_t stream) : device_(device) {
    check(cudaEventCreateWithFlags(&event_, cudaEventBlockingSync));
    check(cudaEventRecord(event_, stream));
  }
  ~CudaInstant() override { cudaEventDestroy(event_); }  // nowhere to report from here

  double seconds_since(const Instant& earlier) const override {
    const auto* other = dynamic_cast<const CudaInstant*>(&earlier);
    expects(other != nullptr, "an instant of the CUDA backend");
    check(cudaSetDevice(device_));
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, other->event_, event_));
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  int device_;
  cudaEvent_t event_ = nullptr;
};

}  // namespace

// A number in pinned memory that the GPU waits for: hold number n lets the stream go on when the
// host has written n. Lives as long as the stream or any hold.
class CudaStream::Gate {
 public:
  Gate() {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, sizeof(std::uint32_t)));
    opened_ = static_cast<std::uint32_t*>(memory);
    *opened_ = 0;
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() { cudaFreeHost(opened_); }

  std::uint32_t next() { return ++taken_; }
  const std::uint32_t* address() const { return opened_; }

  void open(std::uint32_t number) {
    std::atomic_ref(*opened_).store(number, std::memory_order_release);
  }

 private:
  std::uint32_t* opened_ = nullptr;
  std::uint32_t taken_ = 0;  // by the thread that enqueues
};

class CudaStream::GateHold final : public Hold {
 public:
  GateHold(std::shared_ptr<Gate> gate, std::shared_ptr<Failure> failure, std::uint32_t number)
      : gate_(std::move(gate)), failure_(std::move(failure)), number_(number) {}

  void end(std::exception_ptr failure) override {
    if (failure) failure_->set(std::move(failure));
    gate_->open(number_);
  }

 private:
  std::shared_ptr<Gate> gate_;
  std::shared_ptr<Failure> failure_;
  std::uint32_t number_;
};

CudaStream::CudaStream(int device, Pool& memory, Urgency urgency)
    : device_(device), memory_(memory) {
  check(cudaSetDevice(device));
  int least = 0, greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  const int priority = urgency == Urgency::highest ? greatest : least;
  check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority));
  gate_ = std::make_shared<Gate>();
}

CudaStream::~CudaStream() {
  cudaStreamSynchronize(stream_);
  memory_.forget(*this);
  cudaStreamDestroy(stream_);
}

std::shared_ptr<const Event> CudaStream::record() {
  check(cudaSetDevice(device_));
  return std::make_shared<CudaEvent>(device_, stream_);
}

std::shared_ptr<const Instant> CudaStream::instant() {
  check(cudaSetDevice(device_));
  return std::make_shared<CudaInstant>(device_, stream_);
}

void CudaStream::wait_for(std::shared_ptr<const Event> event) {
  const auto* recorded = dynamic_cast<const CudaEvent*>(event.get());
  expects(recorded != nullptr, "an event of the CUDA backend");
  check(cudaSetDevice(device_));
  check(cudaStreamWaitEvent(stream_, recorded->native()));
}

void CudaStream::synchronize() {
  // An event's wait sleeps; cudaStreamSynchronize takes a core from those with work.
  record()->wait();
  if (const auto failure = failure_->take()) std::rethrow_exception(failure);
}

std::shared_ptr<Hold> CudaStream::hold() {
  check(cudaSetDevice(device_));
  const std::uint32_t number = gate_->next();
  wait_until_at_least(stream_, gate_->address(), number);
  return std::make_shared<GateHold>(gate_, failure_, number);
}

CudaStream& cuda(Stream& stream) {
  auto* found = dynamic_cast<CudaStream*>(&stream);
  expects(found != nullptr, "a stream of the CUDA backend");
  return *found;
}

cudaStream_t native(Stream& stream) {
  const CudaStream& found = cuda(stream);
  check(cudaSetDevice(found.device()));
  return found.native();
}

}  // namespace trireme::kernels
