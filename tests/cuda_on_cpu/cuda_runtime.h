#pragma once

// In place of CUDA's header: as much of its language and runtime as kernels/cuda uses, on the
// processor. A stream is a thread, so what is enqueued has not happened yet, as on a GPU.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "kernels/cpu/host_stream.h"
#include "tests/cuda_on_cpu/threads.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// A thread of the processor runs one block at a time, so what its threads share can be static.
#define __shared__ static thread_local
#define threadIdx trireme::cuda_on_cpu::thread_index
#define blockIdx trireme::cuda_on_cpu::block_index
#define blockDim trireme::cuda_on_cpu::block_size
#define gridDim trireme::cuda_on_cpu::grid_size

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

enum cudaError_t {
  cudaSuccess,
  cudaErrorMemoryAllocation,
  cudaErrorNotReady,
  cudaErrorInsufficientDriver,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaDeviceAttr {
  cudaDevAttrClockRate,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
};
constexpr unsigned cudaEventDefault = 0, cudaEventDisableTiming = 2, cudaEventBlockingSync = 1,
                   cudaStreamNonBlocking = 1;

struct StreamOnCpu {
  trireme::kernels::HostStream queue;
};
struct EventOnCpu {
  std::shared_ptr<const trireme::kernels::Event> point;
  std::shared_ptr<const trireme::kernels::Instant> time;
};
using cudaStream_t = StreamOnCpu*;
using cudaEvent_t = EventOnCpu*;

// Of nvcc: what code is made for.
#define __CUDA_ARCH_LIST__ 800, 900

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  int major, minor, multiProcessorCount;
};

// What `kernel<<<grid, block, shared, stream>>>(given...)` becomes.
struct LaunchShape {
  dim3 grid, block;
  std::size_t shared = 0;
  cudaStream_t stream = nullptr;
};
template <class Kernel, class... Given>
void run_kernel(const LaunchShape& shape, const Kernel& kernel, const Given&... given) {
  shape.stream->queue.enqueue([shape, kernel, ... all = given] {
    trireme::cuda_on_cpu::run_grid({shape.grid.x, shape.grid.y, shape.grid.z},
                                   {shape.block.x, shape.block.y, shape.block.z},
                                   [&] { kernel(all...); });
  });
}

inline void __syncthreads() { trireme::cuda_on_cpu::wait_for_block(); }
inline void __syncwarp(unsigned = 0xffffffffu) { trireme::cuda_on_cpu::wait_for_warp(); }
inline float __fdividef(float a, float b) { return a / b; }
template <class T>
T __shfl_sync(unsigned, T value, unsigned lane) {
  trireme::cuda_on_cpu::give_to_warp(&value, sizeof value);
  std::memcpy(&value, trireme::cuda_on_cpu::given_by(lane), sizeof value);
  return value;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, unsigned lanes) {
  const unsigned lane = threadIdx.x % trireme::cuda_on_cpu::kWarpSize;
  return __shfl_sync(mask, value, lane ^ lanes);
}

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
inline cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }

inline const char* cudaGetErrorString(cudaError_t status) {
  return status == cudaErrorMemoryAllocation ? "out of memory" : "an error";
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int*) { return cudaSuccess; }
inline cudaError_t cudaRuntimeGetVersion(int*) { return cudaSuccess; }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {.name = "on the CPU",
                 .totalGlobalMem = std::size_t{1} << 30,
                 .major = 9,
                 .multiProcessorCount = 1};
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetPCIBusId(char* text, int size, int) {
  std::snprintf(text, static_cast<std::size_t>(size), "on the CPU");
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 1;
  return cudaSuccess;
}
inline cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  *data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  // Not zero, as memory of a GPU is not.
  if (*data) std::memset(*data, 0xff, bytes);
  return *data ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void* data) {
  std::free(data);
  return cudaSuccess;
}
inline cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
  return cudaMalloc(data, bytes);
}
inline cudaError_t cudaFreeHost(void* data) { return cudaFree(data); }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                                   cudaStream_t stream) {
  stream->queue.enqueue([to, from, bytes] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = *greatest = 0;
  return cudaSuccess;
}
inline cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = new StreamOnCpu;
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  stream->queue.synchronize();
  return cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event) {
  stream->queue.wait_for(event->point);
  return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EventOnCpu;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->time = stream->queue.instant();
  event->point = stream->queue.record();
  return cudaSuccess;
}
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  *milliseconds = static_cast<float>(1e3 * end->time->seconds_since(*start->time));
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
inline cudaError_t cudaEventQuery(cudaEvent_t event) {
  return event->point->reached() ? cudaSuccess : cudaErrorNotReady;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  event->point->wait();
  return cudaSuccess;
}
