#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/operations.h"

namespace trireme::kernels {
namespace {

template <class T>
void embed(cudaStream_t stream, const Embedding& op) {
  const auto* ids = static_cast<const std::int32_t*>(op.ids.data);
  const auto table = rows_of<T>(op.table), positions = rows_of<T>(op.positions),
             out = rows_of<T>(op.out);
  const std::int64_t vocabulary = op.table.rows, first_id = op.first_id;
  const std::int64_t sequence = op.positions ? op.sequence : 0;
  each_element(stream, op.out.shape(), [=] __device__(std::int64_t t, std::int64_t c) {
    const std::int64_t id = ids[t] - first_id;
    float value = id >= 0 && id < vocabulary ? load(table[id][c]) : 0.0f;
    if (sequence > 0) value += load(positions[t % sequence][c]);
    store(out[t][c], value);
  });
}

constexpr int kEmbeddingColumns = 4;  // of a thread

// The block of a token that is the first with its id adds the rows of all of them, in order:
// deterministic, whatever repeats. One block per token and range of columns.
template <class T>
__global__ void add_rows_of_id(const std::int32_t* ids, std::int64_t tokens, std::int64_t first_id,
                               std::int64_t vocabulary, Rows<T> d_out, std::int64_t columns,
                               Rows<float> d_table) {
  __shared__ unsigned matches[kThreads / 32];
  const std::int64_t token = blockIdx.x;
  const std::int32_t id = ids[token];
  if (id < first_id || id - first_id >= vocabulary) return;
  bool is_later = false;
  for (std::int64_t t = threadIdx.x; t < token; t += kThreads) is_later |= ids[t] == id;
  if (__syncthreads_or(is_later)) return;
  const std::int64_t first_column =
      blockIdx.y * std::int64_t{kThreads} * kEmbeddingColumns + threadIdx.x;
  float* const row = d_table[id - first_id];
  float sums[kEmbeddingColumns] = {};
  for (int i = 0; i < kEmbeddingColumns; ++i) {
    const std::int64_t c = first_column + i * kThreads;
    if (c < columns) sums[i] = row[c];
  }
  for (std::int64_t begin = token; begin < tokens; begin += kThreads) {
    const std::int64_t t = begin + threadIdx.x;
    const unsigned mine = __ballot_sync(0xffffffffu, t < tokens && ids[t] == id);
    if (threadIdx.x % 32 == 0) matches[threadIdx.x / 32] = mine;
    __syncthreads();
    for (int w = 0; w < kThreads / 32; ++w) {
      for (unsigned left = matches[w]; left != 0; left &= left - 1) {
        const T* const d = d_out[begin + w * 32 + __ffs(static_cast<int>(left)) - 1];
        for (int i = 0; i < kEmbeddingColumns; ++i) {
          const std::int64_t c = first_column + i * kThreads;
          if (c < columns) sums[i] += load(d[c]);
        }
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < kEmbeddingColumns; ++i) {
    const std::int64_t c = first_column + i * kThreads;
    if (c < columns) row[c] = sums[i];
  }
}

template <class T>
void embed_backward(cudaStream_t stream, const EmbeddingBackward& op) {
  const auto d_out = rows_of<T>(op.d_out);
  const std::int64_t tokens = op.d_out.rows, columns = op.d_out.columns;
  constexpr std::int64_t kColumns = std::int64_t{kThreads} * kEmbeddingColumns;
  const dim3 grid(static_cast<unsigned>(tokens),
                  static_cast<unsigned>((columns + kColumns - 1) / kColumns));
  add_rows_of_id<<<grid, kThreads, 0, stream>>>(static_cast<const std::int32_t*>(op.ids.data),
                                                tokens, op.first_id, op.d_table.rows, d_out,
                                                columns, rows_of<float>(op.d_table));
  check(cudaGetLastError());
  if (!op.d_positions) return;
  const auto d_positions = rows_of<float>(op.d_positions);
  const std::int64_t sequence = op.sequence;
  const std::int64_t positions = tokens < sequence ? tokens : sequence;
  each_element(stream, {positions, columns}, [=] __device__(std::int64_t p, std::int64_t c) {
    float sum = d_positions[p][c];
    for (std::int64_t t = p; t < tokens; t += sequence) sum += load(d_out[t][c]);
    d_positions[p][c] = sum;
  });
}

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
void cross_entropy(cudaStream_t stream, const CrossEntropy& op) {
  const DeviceScratch<double> losses(stream, op.logits.rows);
  differentiate_rows<<<static_cast<unsigned>(op.logits.rows), kThreads, 0, stream>>>(
      rows_of<T>(op.logits), targets_of(op), floats(op.maximum), floats(op.sum_exp),
      floats(op.target_logit), losses.data(), static_cast<float>(op.gradient_scale),
      op.with_gradient);
  check(cudaGetLastError());
  add_losses<<<1, kThreads, 0, stream>>>(op.logits.rows, losses.data(),
                                         static_cast<double*>(op.loss.data));
  check(cudaGetLastError());
}

}  // namespace

void launch(cudaStream_t stream, const Embedding& op) {
  dispatch(op.out.dtype, [&]<class T>() { embed<T>(stream, op); });
}

void launch(cudaStream_t stream, const EmbeddingBackward& op) {
  dispatch(op.d_out.dtype, [&]<class T>() { embed_backward<T>(stream, op); });
}

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

void launch(cudaStream_t stream, const CrossEntropy& op) {
  dispatch(op.logits.dtype, [&]<class T>() { cross_entropy<T>(stream, op); });
}

}  // namespace trireme::kernels
