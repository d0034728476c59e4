#include <algorithm>
#include <cmath>

#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/queue.h"

namespace trireme::kernels {
namespace {

constexpr std::int64_t kMostNormBlocks = 1024;
constexpr std::int64_t kPerNormThread = 8;  // elements, unless there are too many

// As many for the same size, so that the order of the sum is the same.
int norm_blocks(std::int64_t count) {
  const std::int64_t per_block = kThreads * kPerNormThread;
  return static_cast<int>(
      std::clamp((count + per_block - 1) / per_block, std::int64_t{1}, kMostNormBlocks));
}

// The sum of squares of those numbers from `first` up to `end` that are this thread's, n at a time.
template <int n, class T>
__device__ double squares(const T* numbers, std::int64_t first, std::int64_t end) {
  const std::int64_t mine = blockIdx.x * static_cast<std::int64_t>(kThreads) + threadIdx.x;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads * n;
  double sum = 0;
  for (std::int64_t i = first + mine * n; i < end; i += step) {
    const auto found = read<n>(numbers + i);
    for (int k = 0; k < n; ++k) sum += double{found[k]} * double{found[k]};
  }
  return sum;
}

// Each block sums its share of the rows, 16 bytes at a time from the beginning of an aligned one;
// one block adds the shares.
template <class T>
__global__ void square_shares(Rows<T> x, Shape shape, double* shares) {
  using Reduce = cub::BlockReduce<double, kThreads>;
  __shared__ typename Reduce::TempStorage scratch;
  constexpr int kWide = 16 / static_cast<int>(sizeof(T));
  double sum = 0;
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    const bool aligned = reinterpret_cast<std::uintptr_t>(x[r]) % 16 == 0;
    const std::int64_t packed = aligned ? shape.columns / kWide * kWide : 0;
    sum += squares<kWide>(x[r], 0, packed) + squares<1>(x[r], packed, shape.columns);
  }
  sum = Reduce(scratch).Sum(sum);
  if (threadIdx.x == 0) shares[blockIdx.x] = sum;
}

__global__ void add_shares(int count, const double* shares, double* total) {
  using Reduce = cub::BlockReduce<double, kThreads>;
  __shared__ typename Reduce::TempStorage scratch;
  double sum = 0;
  for (int b = static_cast<int>(threadIdx.x); b < count; b += kThreads) sum += shares[b];
  sum = Reduce(scratch).Sum(sum);
  if (threadIdx.x == 0) *total += sum;
}

template <class T>
void square(const Queue& queue, const SquaredNorm& op) {
  const int blocks = norm_blocks(op.x.size());
  const Scratch<double> shares(queue, blocks);
  const Shape shape = op.x.contiguous() ? Shape{1, op.x.size()} : op.x.shape();
  square_shares<<<static_cast<unsigned>(blocks), kThreads, 0, queue>>>(rows_of<T>(op.x), shape,
                                                                       shares.data());
  check(cudaGetLastError());
  add_shares<<<1, kThreads, 0, queue>>>(blocks, shares.data(), static_cast<double*>(op.out.data));
  check(cudaGetLastError());
}

template <class T>
struct Update {
  float *master, *first_moment, *second_moment;
  const float* gradient;
  T* parameter;  // or nothing
  float scale, beta1, beta2, epsilon, step_size, inv_root, keep;

  template <int n>
  __device__ void run(std::int64_t, std::int64_t c) const {
    auto w = read<n>(master + c), m = read<n>(first_moment + c), v = read<n>(second_moment + c);
    const auto d = read<n>(gradient + c);
    for (int i = 0; i < n; ++i) {
      const float g = d[i] * scale;
      m[i] = beta1 * m[i] + (1.0f - beta1) * g;
      v[i] = beta2 * v[i] + (1.0f - beta2) * g * g;
      w[i] = keep * w[i] - step_size * m[i] / (sqrtf(v[i]) * inv_root + epsilon);
    }
    write<n>(first_moment + c, m);
    write<n>(second_moment + c, v);
    write<n>(master + c, w);
    if (parameter) write<n>(parameter + c, w);
  }
};

template <class T>
void update(cudaStream_t stream, const AdamW& op) {
  const double correction1 = 1 - std::pow(op.beta1, static_cast<double>(op.step));
  const double correction2 = 1 - std::pow(op.beta2, static_cast<double>(op.step));
  // Of a parameter of half the width, 8 bytes at a time: that it lies at a multiple of 16 is more
  // than it takes.
  each_pack<float>(stream,
                   {op.master, op.first_moment, op.second_moment, op.gradient, op.parameter},
                   Update<T>{.master = static_cast<float*>(op.master.data),
                             .first_moment = static_cast<float*>(op.first_moment.data),
                             .second_moment = static_cast<float*>(op.second_moment.data),
                             .gradient = static_cast<const float*>(op.gradient.data),
                             .parameter = static_cast<T*>(op.parameter.data),
                             .scale = static_cast<float>(op.gradient_scale),
                             .beta1 = static_cast<float>(op.beta1),
                             .beta2 = static_cast<float>(op.beta2),
                             .epsilon = static_cast<float>(op.epsilon),
                             .step_size = static_cast<float>(op.learning_rate / correction1),
                             .inv_root = static_cast<float>(1 / std::sqrt(correction2)),
                             .keep = static_cast<float>(1 - op.learning_rate * op.weight_decay)});
}

}  // namespace

void launch(const Queue& queue, const SquaredNorm& op) {
  dispatch(op.x.dtype, [&]<class T>() { square<T>(queue, op); });
}

void launch(cudaStream_t stream, const AdamW& op) {
  expects(op.master.dtype == Dtype::f32, "adamw: fp32 state on CUDA");
  dispatch(op.parameter ? op.parameter.dtype : Dtype::f32,
           [&]<class T>() { update<T>(stream, op); });
}

}  // namespace trireme::kernels
