#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/queue.h"

namespace trireme::kernels {
namespace {

__device__ float block_maximum(float value) {
  using Reduce = cub::BlockReduce<float, kThreads>;
  __shared__ typename Reduce::TempStorage scratch;
  __shared__ float highest;
  __syncthreads();
  const float maximum =
      Reduce(scratch).Reduce(value, [] __device__(float a, float b) { return a > b ? a : b; });
  if (threadIdx.x == 0) highest = maximum;
  __syncthreads();
  return highest;
}

struct Targets {
  const std::int32_t* ids;
  std::int64_t first_id, vocabulary;

  // The column of a token's target here, or -1.
  __device__ std::int64_t column(std::int64_t t) const {
    const std::int64_t index = ids[t] - first_id;
    return index >= 0 && index < vocabulary ? index : -1;
  }
};

// One block per token.
template <class T>
__global__ void measure_rows(Rows<T> logits, Targets targets, float* maximum, float* sum_exp,
                             float* target_logit) {
  const std::int64_t t = blockIdx.x;
  // One reading: a thread's sum fades when its maximum grows.
  float highest = -INFINITY, sum = 0;
  share_row<false>(logits[t], targets.vocabulary, [&](std::int64_t, float logit) {
    if (logit > highest) {
      sum *= expf(highest - logit);
      highest = logit;
    }
    sum += expf(logit - highest);
  });
  const float own = highest;
  highest = block_maximum(highest);
  // Nothing was added to a sum of zero; one that is not a number stays so.
  sum = block_sum(sum == 0 ? 0.0f : sum * expf(own - highest));
  if (threadIdx.x == 0) {
    const std::int64_t column = targets.column(t);
    maximum[t] = highest;
    sum_exp[t] = sum;
    target_logit[t] = column >= 0 ? load(logits[t][column]) : 0.0f;
  }
}

// One block per token.
template <class T>
__global__ void differentiate_rows(Rows<T> logits, Targets targets, const float* maximum,
                                   const float* sum_exp, const float* target_logit, double* losses,
                                   float scale, bool with_gradient) {
  const std::int64_t t = blockIdx.x;
  const bool counts = targets.ids[t] >= 0;
  if (threadIdx.x == 0) {
    losses[t] = counts ? log(static_cast<double>(sum_exp[t])) + maximum[t] - target_logit[t] : 0.0;
  }
  if (!with_gradient) return;
  const std::int64_t column = targets.column(t);
  const float highest = maximum[t], inverse = 1.0f / sum_exp[t];
  share_row<true>(logits[t], targets.vocabulary, [&](std::int64_t c, float logit) {
    const float p = expf(logit - highest) * inverse;
    return counts ? (p - (c == column ? 1.0f : 0.0f)) * scale : 0.0f;
  });
}

// One thread a token.
__global__ void merge_parts(std::int64_t ranks, std::int64_t tokens, const float* parts,
                            float* maximum, float* sum_exp, float* target_logit) {
  const std::int64_t t = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (t >= tokens) return;
  float largest = parts[t];
  for (std::int64_t r = 1; r < ranks; ++r) largest = fmaxf(largest, parts[3 * r * tokens + t]);
  float sum = 0, target = 0;
  for (std::int64_t r = 0; r < ranks; ++r) {
    const float* part = parts + 3 * r * tokens;
    sum += part[tokens + t] * expf(part[t] - largest);
    target += part[2 * tokens + t];
  }
  maximum[t] = largest;
  sum_exp[t] = sum;
  target_logit[t] = target;
}

// One block adds all losses, each thread those of its own tokens in order.
__global__ void add_losses(std::int64_t tokens, const double* losses, double* total) {
  using Reduce = cub::BlockReduce<double, kThreads>;
  __shared__ typename Reduce::TempStorage scratch;
  double sum = 0;
  for (std::int64_t t = threadIdx.x; t < tokens; t += kThreads) sum += losses[t];
  sum = Reduce(scratch).Sum(sum);
  if (threadIdx.x == 0) *total += sum;
}

template <class Op>
Targets targets_of(const Op& op) {
  return {static_cast<const std::int32_t*>(op.targets.data), op.first_id, op.logits.columns};
}

float* floats(const View& view) { return static_cast<float*>(view.data); }

template <class T>
void cross_entropy(const Queue& queue, const CrossEntropy& op) {
  const Scratch<double> losses(queue, op.logits.rows);
  differentiate_rows<<<static_cast<unsigned>(op.logits.rows), kThreads, 0, queue>>>(
      rows_of<T>(op.logits), targets_of(op), floats(op.maximum), floats(op.sum_exp),
      floats(op.target_logit), losses.data(), static_cast<float>(op.gradient_scale),
      op.with_gradient);
  check(cudaGetLastError());
  add_losses<<<1, kThreads, 0, queue>>>(op.logits.rows, losses.data(),
                                        static_cast<double*>(op.loss.data));
  check(cudaGetLastError());
}

}  // namespace

void launch(cudaStream_t stream, const CrossEntropyStatistics& op) {
  dispatch(op.logits.dtype, [&]<class T>() {
    measure_rows<<<static_cast<unsigned>(op.logits.rows), kThreads, 0, stream>>>(
        rows_of<T>(op.logits), targets_of(op), floats(op.maximum), floats(op.sum_exp),
        floats(op.target_logit));
    check(cudaGetLastError());
  });
}

void launch(cudaStream_t stream, const MergeStatistics& op) {
  const std::int64_t tokens = op.maximum.rows;
  const auto blocks = static_cast<unsigned>((tokens + kThreads - 1) / kThreads);
  merge_parts<<<blocks, kThreads, 0, stream>>>(op.parts.rows, tokens, floats(op.parts),
                                               floats(op.maximum), floats(op.sum_exp),
                                               floats(op.target_logit));
  check(cudaGetLastError());
}

void launch(const Queue& queue, const CrossEntropy& op) {
  dispatch(op.logits.dtype, [&]<class T>() { cross_entropy<T>(queue, op); });
}

}  // namespace trireme::kernels
