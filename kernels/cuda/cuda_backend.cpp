#include <nvtx3/nvToolsExt.h>

#include <cstdint>
#include <cstdio>
#include <type_traits>

#include "kernels/backend.h"
#include "kernels/cuda/capability.h"
#include "kernels/cuda/cuda_attention.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_matmul.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/device_pool.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/published_peak.h"

namespace trireme::kernels {
namespace {

// Before anything is made that belongs to the device of the calling thread, cuBLASLt's handle too.
int chosen(int device) {
  check(cudaSetDevice(device));
  return device;
}

// One GPU. Correct before fast: held to the CPU backend by the tests with the label gpu.
class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int device) : device_(chosen(device)) {
    check(cudaGetDeviceProperties(&properties_, device));
  }

  std::string description() const override {
    const std::string library = attention_.library();
    return "cuda:" + std::to_string(device_) + " (" + properties_.name + ", " +
           (library.empty() ? "no cuDNN" : library) + ")";
  }

  std::unique_ptr<Stream> make_stream() override {
    return std::make_unique<CudaStream>(device_, *pool_, CudaStream::Urgency::usual);
  }
  std::unique_ptr<Stream> make_urgent_stream() override {
    return std::make_unique<CudaStream>(device_, *pool_, CudaStream::Urgency::highest);
  }

  Tensor allocate(Stream& stream, Shape shape, Dtype dtype, Category category) override {
    View view(nullptr, shape, dtype);
    view.data = pool_->allocate(view.bytes(), stream, category);
    return Tensor(view, *pool_, stream, category);
  }

  void upload(Stream& stream, std::span<const std::byte> from, View to) override {
    expects(to.contiguous() && from.size() == to.bytes(), "upload: as many bytes as the view");
    check(
        cudaMemcpyAsync(to.data, from.data(), from.size(), cudaMemcpyHostToDevice, native(stream)));
  }

  void download(Stream& stream, View from, std::span<std::byte> to) override {
    expects(from.contiguous() && to.size() == from.bytes(), "download: as many bytes as the view");
    check(cudaMemcpyAsync(to.data(), from.data, to.size(), cudaMemcpyDeviceToHost, native(stream)));
  }

  std::shared_ptr<std::byte[]> host_memory(std::size_t bytes) override {
    check(cudaSetDevice(device_));
    void* data = nullptr;
    if (bytes > 0) check(cudaMallocHost(&data, bytes));
    return {static_cast<std::byte*>(data), [](std::byte* memory) { cudaFreeHost(memory); }};
  }

  std::shared_ptr<Hold> hold(Stream& stream) override { return cuda(stream).hold(); }
  void* native_stream(Stream& stream) override { return native(stream); }
  bool first_use_waits() const override { return true; }
  bool try_ways(int most) override {
    matmul_.try_algorithms(most);
    attention_.try_ways(most);
    return true;
  }
  // Of a layer's columns among eight ranks, a product with 2048 rows has as many tiles as a large
  // GPU has multiprocessors, or several times as many.
  std::int64_t full_speed_rows() const override { return 2048; }
  void begin_range(const std::string& name) override { nvtxRangePushA(name.c_str()); }
  void end_range() override { nvtxRangePop(); }

  MemoryUse memory() const override { return pool_->use(); }
  std::int64_t memory_capacity() const override {
    return static_cast<std::int64_t>(properties_.totalGlobalMem);
  }
  void reset_memory_peaks() override { pool_->reset_peaks(); }

  double peak_flops_per_second(Dtype dtype) override {
    const bool on_tensor_cores = dtype == Dtype::bf16 || dtype == Dtype::f16;
    const double published = published_tensor_flops(properties_.name);
    if (on_tensor_cores && published > 0) return published;
    int kilohertz = 0;
    check(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, device_));
    const CycleFlops of_a_cycle =
        flops_of_a_cycle(100 * properties_.major + 10 * properties_.minor);
    const double flops = on_tensor_cores ? of_a_cycle.tensor : of_a_cycle.fp32;
    return flops * properties_.multiProcessorCount * kilohertz * 1e3;
  }

 private:
  void enqueue(Stream& stream, const Operation& operation) override {
    const Queue queue(stream, *pool_);
    std::visit(
        [&](const auto& op) {
          using Op = std::decay_t<decltype(op)>;
          if constexpr (std::is_same_v<Op, Matmul>) {
            matmul_.launch(queue, op);
          } else if constexpr (std::is_same_v<Op, Attention> ||
                               std::is_same_v<Op, AttentionBackward>) {
            attention_.launch(stream, op);
          } else {
            launch(queue, op);
          }
        },
        operation);
  }

  int device_;
  cudaDeviceProp properties_ = {};
  std::unique_ptr<Pool> pool_ = make_device_pool(device_);
  CudaMatmul matmul_;
  CudaAttention attention_{*pool_};
};

std::string version_text(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

// Asked without making a context, of which each rank is to have one, on its own device.
int capability_of(int device) {
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  return 100 * major + 10 * minor;
}

// Of the first device that this module has no code for; nothing if it has for all.
std::string problem_with_capabilities(int devices) {
  for (int device = 0; device < devices; ++device) {
    const int capability = capability_of(device);
    if (runs_on(capability, built_capabilities())) continue;
    std::string built;
    for (const int one : built_capabilities()) built.append(" ").append(capability_text(one));
    return "device " + std::to_string(device) + " has compute capability " +
           capability_text(capability) + ", this program was built for" + built +
           " (CMAKE_CUDA_ARCHITECTURES)";
  }
  return "";
}

std::string problem_with_devices() {
  int count = 0, driver = 0, runtime = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) {
    return count > 0 ? problem_with_capabilities(count) : "the NVIDIA driver has no device";
  }
  if (status != cudaErrorInsufficientDriver) return cudaGetErrorString(status);
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return "there is no NVIDIA driver";
  return "the NVIDIA driver is for CUDA " + version_text(driver) + ", this program for CUDA " +
         version_text(runtime);
}

}  // namespace
}  // namespace trireme::kernels

// The module's doors: kernels/cuda_module.cpp looks for them.
extern "C" trireme::kernels::Backend* trireme_make_cuda_backend(int device) {
  return new trireme::kernels::CudaBackend(device);
}

extern "C" int trireme_count_cuda_devices() {
  int count = 0;
  cudaGetDeviceCount(&count);
  return trireme::kernels::problem_with_devices().empty() ? count : 0;
}

// Why there are none; nothing if there are some.
extern "C" void trireme_cuda_problem(char* text, int size) {
  const std::string problem = trireme::kernels::problem_with_devices();
  std::snprintf(text, static_cast<std::size_t>(size), "%s", problem.c_str());
}

extern "C" void trireme_identify_cuda_device(int device, char* text, int size) {
  if (cudaDeviceGetPCIBusId(text, size, device) != cudaSuccess) text[0] = 0;
}
