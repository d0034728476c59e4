#include <nvtx3/nvToolsExt.h>

#include <cstdint>
#include <cstdio>
#include <limits>
#include <type_traits>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_attention.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_matmul.h"
#include "kernels/cuda/cuda_stream.h"
#include "kernels/cuda/device_pool.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/published_peak.h"

namespace trireme::kernels {
namespace {

// What operations take for a moment stays with the program, and never makes a stream wait for
// another: that one may be held until this one is done.
void keep_scratch_memory(int device) {
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, device));
  std::uint64_t everything = std::numeric_limits<std::uint64_t>::max();
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &everything));
  int no = 0;
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolReuseAllowInternalDependencies, &no));
}

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
    keep_scratch_memory(device);
  }

  std::string description() const override {
    const std::string library = attention_.library();
    return "cuda:" + std::to_string(device_) + " (" + properties_.name + ", " +
           (library.empty() ? "no cuDNN" : library) + ")";
  }

  std::unique_ptr<Stream> make_stream() override { return std::make_unique<CudaStream>(device_); }

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
    // Dense tensor-core operations per multiprocessor and cycle double with each generation.
    const double tensor = properties_.major >= 10 ? 8192 : properties_.major == 9 ? 4096 : 2048;
    const double per_cycle = on_tensor_cores ? tensor : 256;
    return per_cycle * properties_.multiProcessorCount * kilohertz * 1e3;
  }

 private:
  void enqueue(Stream& stream, const Operation& operation) override {
    std::visit(
        [&](const auto& op) {
          using Op = std::decay_t<decltype(op)>;
          if constexpr (std::is_same_v<Op, Matmul>) {
            matmul_.launch(stream, op);
          } else if constexpr (std::is_same_v<Op, Attention> ||
                               std::is_same_v<Op, AttentionBackward>) {
            attention_.launch(stream, op);
          } else {
            launch(native(stream), op);
          }
        },
        operation);
  }

  int device_;
  cudaDeviceProp properties_ = {};
  std::unique_ptr<Pool> pool_ = make_device_pool(device_);
  CudaMatmul matmul_{*pool_};
  CudaAttention attention_{*pool_};
};

std::string version_text(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string problem_with_devices() {
  int count = 0, driver = 0, runtime = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return count > 0 ? "" : "the NVIDIA driver has no device";
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
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

// Why there are none; nothing if there are some.
extern "C" void trireme_cuda_problem(char* text, int size) {
  const std::string problem = trireme::kernels::problem_with_devices();
  std::snprintf(text, static_cast<std::size_t>(size), "%s", problem.c_str());
}

extern "C" void trireme_identify_cuda_device(int device, char* text, int size) {
  if (cudaDeviceGetPCIBusId(text, size, device) != cudaSuccess) text[0] = 0;
}
