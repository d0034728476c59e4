#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda_stream.h"
#include "kernels/memory.h"

namespace trireme::kernels {

// Where the kernels of an operation go, and what they work with comes from.
class Queue {
 public:
  Queue(Stream& stream, Pool& pool) : stream_(stream), pool_(pool), native_(native(stream)) {}

  operator cudaStream_t() const { return native_; }
  Stream& stream() const { return stream_; }
  Pool& pool() const { return pool_; }

 private:
  Stream& stream_;
  Pool& pool_;
  cudaStream_t native_;
};

// Memory for the length of one operation, in the order of its stream: once its kernels are on the
// queue, it may go.
template <class T>
class Scratch {
 public:
  Scratch(const Queue& queue, std::int64_t count)
      : queue_(queue),
        bytes_(static_cast<std::size_t>(count) * sizeof(T)),
        data_(queue.pool().allocate(bytes_, queue.stream(), Category::workspace)) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { queue_.pool().release(data_, bytes_, queue_.stream(), Category::workspace); }

  T* data() const { return static_cast<T*>(data_); }

 private:
  const Queue& queue_;
  std::size_t bytes_;
  void* data_;
};

}  // namespace trireme::kernels
