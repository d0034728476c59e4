#include <algorithm>
#include <cmath>

#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/operations.h"

namespace trireme::kernels {
namespace {

constexpr std::int64_t kMostNormBlocks = 512;
constexpr std::int64_t kPerNormThread = 8;  // elements, unless there are too many

// As many for the same size, so that the order of the sum is the same.
int norm_blocks(std::int64_t count) {
  const std::int64_t per_block = kThreads * kPerNormThread;
  return static_cast<int>(
      std::clamp((count + per_block - 1) / per_block, std::int64_t{1}, kMostNormBlocks));
}

// Each block sums its share; the last kernel adds the shares in order.
template <class T>
__global__ void square_shares(Rows<T> x, std::int64_t count, std::int64_t columns, double* shares) {
  using Reduce = cub::BlockReduce<double, kThreads>;
  __shared__ typename Reduce::TempStorage scratch;
  double sum = 0;
  for (std::int64_t i = blockIdx.x * static_cast<std::int64_t>(kThreads) + threadIdx.x; i < count;
       i += static_cast<std::int64_t>(gridDim.x) * kThreads) {
    const double value = load(x[i / columns][i % columns]);
    sum += value * value;
  }
  sum = Reduce(scratch).Sum(sum);
  if (threadIdx.x == 0) shares[blockIdx.x] = sum;
}

__global__ void add_shares(int count, const double* shares, double* total) {
  double sum = *total;
  for (int b = 0; b < count; ++b) sum += shares[b];
  *total = sum;
}

template <class T>
void square(cudaStream_t stream, const SquaredNorm& op) {
  const int blocks = norm_blocks(op.x.size());
  const DeviceScratch<double> shares(stream, blocks);
  square_shares<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(
      rows_of<T>(op.x), op.x.size(), op.x.columns, shares.data());
  check(cudaGetLastError());
  add_shares<<<1, 1, 0, stream>>>(blocks, shares.data(), static_cast<double*>(op.out.data));
  check(cudaGetLastError());
}

template <class T>
void update(cudaStream_t stream, const AdamW& op) {
  auto* master = static_cast<float*>(op.master.data);
  auto* first_moment = static_cast<float*>(op.first_moment.data);
  auto* second_moment = static_cast<float*>(op.second_moment.data);
  const auto* gradient = static_cast<const float*>(op.gradient.data);
  auto* parameter = static_cast<T*>(op.parameter.data);
  const double correction1 = 1 - std::pow(op.beta1, static_cast<double>(op.step));
  const double correction2 = 1 - std::pow(op.beta2, static_cast<double>(op.step));
  const auto scale = static_cast<float>(op.gradient_scale), beta1 = static_cast<float>(op.beta1);
  const auto beta2 = static_cast<float>(op.beta2), epsilon = static_cast<float>(op.epsilon);
  const auto step_size = static_cast<float>(op.learning_rate / correction1);
  const auto inv_root = static_cast<float>(1 / std::sqrt(correction2));
  const auto keep = static_cast<float>(1 - op.learning_rate * op.weight_decay);
  each_element(stream, {1, op.master.columns}, [=] __device__(std::int64_t, std::int64_t i) {
    const float g = gradient[i] * scale;
    const float m = beta1 * first_moment[i] + (1.0f - beta1) * g;
    const float v = beta2 * second_moment[i] + (1.0f - beta2) * g * g;
    const float w = keep * master[i] - step_size * m / (sqrtf(v) * inv_root + epsilon);
    first_moment[i] = m;
    second_moment[i] = v;
    master[i] = w;
    if (parameter) store(parameter[i], w);
  });
}

}  // namespace

void launch(cudaStream_t stream, const SquaredNorm& op) {
  dispatch(op.x.dtype, [&]<class T>() { square<T>(stream, op); });
}

void launch(cudaStream_t stream, const AdamW& op) {
  expects(op.master.dtype == Dtype::f32, "adamw: fp32 state on CUDA");
  dispatch(op.parameter ? op.parameter.dtype : Dtype::f32,
           [&]<class T>() { update<T>(stream, op); });
}

}  // namespace trireme::kernels
