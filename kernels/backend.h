#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "kernels/operation.h"
#include "kernels/stream.h"
#include "kernels/tensor.h"

namespace trireme::kernels {

// One device: its memory, its streams and every operation it can run.
class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  // What runs here, for people: "cpu (x86-64-v4, 2 threads)".
  virtual std::string description() const = 0;

  // Streams must outlive the tensors that follow them and die before the backend.
  virtual std::unique_ptr<Stream> make_stream() = 0;

  // A stream whose work goes first where the device has to choose: others wait for what it sends.
  virtual std::unique_ptr<Stream> make_urgent_stream() { return make_stream(); }

  // Uninitialized memory, usable on `stream` and given back in its order. Throws DeviceError,
  // with what is in use by category, when there is no more.
  virtual Tensor allocate(Stream& stream, Shape shape, Dtype dtype, Category category) = 0;

  // Copies between host memory and a contiguous view, in the order of the stream. The host
  // memory must stay until the stream has passed the copy.
  virtual void upload(Stream& stream, std::span<const std::byte> from, View to) = 0;
  virtual void download(Stream& stream, View from, std::span<std::byte> to) = 0;

  // Memory of the host that copies to and from this device are fastest with.
  virtual std::shared_ptr<std::byte[]> host_memory(std::size_t bytes) = 0;

  // Work enqueued on `stream` from now on starts when the hold has ended. Holds of one stream end
  // in the order they were taken, and before anyone synchronizes with it or it goes.
  virtual std::shared_ptr<Hold> hold(Stream& stream) = 0;

  // What other libraries for this device call the stream (a cudaStream_t), whose device becomes
  // that of the calling thread; null on the host.
  virtual void* native_stream(Stream& stream) = 0;

  // Whether the host, when it first enqueues an operation of some kind, may have to wait for all
  // that any stream has been given: CUDA's libraries load code then. Where it is so, every kind is
  // used once before a stream is given anything that waits for another rank.
  virtual bool first_use_waits() const { return false; }

  // From now on an operation may be done in up to so many ways when one of its kind first comes, or
  // when fewer were tried before, to find the fastest for all that follow; the host waits for that.
  // What is found depends on the moment, and results with it in their last bits. Zero, as in the
  // beginning: the first way is taken. Whether there are several.
  virtual bool try_ways(int /*most*/) { return false; }
  static constexpr int kUsualWays = 8;

  // With as many rows or more, a product of a layer takes about as long per row as one of all
  // tokens: how small the pieces may be that messages hide behind.
  virtual std::int64_t full_speed_rows() const = 0;

  virtual MemoryUse memory() const = 0;

  // Bytes the device has, whoever uses them.
  virtual std::int64_t memory_capacity() const = 0;

  virtual void reset_memory_peaks() = 0;

  // Fused multiply-adds this device can do, in FLOP/s at `dtype`: what MFU divides by. Measured
  // once where no table knows it.
  virtual double peak_flops_per_second(Dtype dtype) = 0;

  // Between these, what this thread enqueues belongs to `name` in the pictures of a profiler for
  // this device, if there is one. They nest.
  virtual void begin_range(const std::string& /*name*/) {}
  virtual void end_range() {}

  // The one door to every operation: checks the contract, then enqueues.
  template <class Kind>
  void run(Stream& stream, const Kind& operation) {
    operation.validate();
    enqueue(stream, operation);
  }

 private:
  virtual void enqueue(Stream& stream, const Operation& operation) = 0;
};

// A range of a profiler, as long as this lives.
class Range {
 public:
  Range(Backend& backend, const std::string& name) : backend_(backend) {
    backend.begin_range(name);
  }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  ~Range() { backend_.end_range(); }

 private:
  Backend& backend_;
};

struct CpuOptions {
  int threads = 1;  // of every stream's OpenMP team
};

// The largest team OpenMP would give: OMP_THREAD_LIMIT may be below the number of cores.
int cpu_thread_limit();

// Throws DeviceError if this processor is older than the oldest instruction set built for, or if
// there cannot be as many threads: oneDNN computes wrong products with fewer than it counts on.
std::unique_ptr<Backend> make_cpu_backend(CpuOptions options = {});

// Sets what the CUDA driver reads from the environment when anything in this process first uses it,
// an MPI library included. Before any thread is started.
void prepare_cuda();

// CUDA devices that this build and this machine can use; 0 without a driver.
int cuda_devices();

// Why there are none, for people; empty where nobody expects any: in a build without CUDA, on a
// machine without NVIDIA's driver.
std::string cuda_problem();

// Tells the devices of a node apart, whatever numbers its programs see them under: a PCI address.
std::string cuda_device_identity(int device);

// Throws DeviceError, saying why, if this build or this machine has no CUDA device of that number.
std::unique_ptr<Backend> make_cuda_backend(int device);

}  // namespace trireme::kernels
