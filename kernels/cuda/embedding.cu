#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/queue.h"

namespace trireme::kernels {
namespace {

template <class T>
struct Lookup {
  const std::int32_t* ids;
  Rows<T> table, positions, out;
  std::int64_t first_id, vocabulary;
  std::int64_t sequence;  // or 0: positions have no vectors

  template <int n>
  __device__ void run(std::int64_t t, std::int64_t c) const {
    const std::int64_t id = ids[t] - first_id;
    Numbers<n> sum = {};
    if (id >= 0 && id < vocabulary) sum = read<n>(table[id] + c);
    if (sequence > 0) {
      const auto position = read<n>(positions[t % sequence] + c);
      for (int i = 0; i < n; ++i) sum[i] += position[i];
    }
    write<n>(out[t] + c, sum);
  }
};

template <class T>
void embed(cudaStream_t stream, const Embedding& op) {
  const Lookup<T> lookup{.ids = static_cast<const std::int32_t*>(op.ids.data),
                         .table = rows_of<T>(op.table),
                         .positions = rows_of<T>(op.positions),
                         .out = rows_of<T>(op.out),
                         .first_id = op.first_id,
                         .vocabulary = op.table.rows,
                         .sequence = op.positions ? op.sequence : 0};
  each_pack_of<T>(stream, op.out.shape(), in_packs<T>({op.out, op.table, op.positions}), lookup);
}

// Where a token's row goes, or `vocabulary`: nowhere here.
__global__ void find_rows(const std::int32_t* ids, std::int64_t tokens, std::int64_t first_id,
                          std::int64_t vocabulary, std::uint32_t* rows, std::int32_t* numbers) {
  const std::int64_t t = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (t >= tokens) return;
  const std::int64_t row = ids[t] - first_id;
  rows[t] = static_cast<std::uint32_t>(row >= 0 && row < vocabulary ? row : vocabulary);
  numbers[t] = static_cast<std::int32_t>(t);
}

// Tokens by the row they go to, and among those of a row in their order.
struct SortedTokens {
  const std::uint32_t* rows;
  const std::int32_t* numbers;
  std::int64_t count;

  // The end of those that go where number `first` does.
  __device__ std::int64_t end_of(std::int64_t first) const {
    std::int64_t low = first + 1, high = count;
    if (low == count || rows[low] != rows[first]) return low;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      if (rows[middle] == rows[first]) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

constexpr int kLanes = 32;
constexpr int kGroups = kThreads / kLanes;

// The block of the first token of a row adds those of all of them: eight groups of its threads take
// them in turn, n columns a thread. In the same order whenever the ids are the same.
template <class T, int n>
__global__ void add_rows_of_id(SortedTokens tokens, std::int64_t vocabulary, Rows<T> d_out,
                               std::int64_t columns, Rows<float> d_table) {
  __shared__ float found[kGroups][kLanes * n];
  const std::int64_t first = blockIdx.x;
  const std::uint32_t row = tokens.rows[first];
  if (row == vocabulary || (first > 0 && tokens.rows[first - 1] == row)) return;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int group = static_cast<int>(threadIdx.x) / kLanes;
  const std::int64_t begin = blockIdx.y * std::int64_t{kLanes * n}, c = begin + lane * n;
  const std::int64_t end = tokens.end_of(first);
  Numbers<n> sums = {};
  if (c < columns) {
#pragma unroll 4
    for (std::int64_t i = first + group; i < end; i += kGroups) {
      const auto d = read<n>(d_out[tokens.numbers[i]] + c);
      for (int k = 0; k < n; ++k) sums[k] += d[k];
    }
  }
  for (int k = 0; k < n; ++k) found[group][lane * n + k] = sums[k];
  __syncthreads();
  const int mine = static_cast<int>(threadIdx.x);
  if (mine >= kLanes * n || begin + mine >= columns) return;
  float sum = d_table[row][begin + mine];
  for (int g = 0; g < kGroups; ++g) sum += found[g][mine];
  d_table[row][begin + mine] = sum;
}

template <class T, int n>
void add_sorted(cudaStream_t stream, const SortedTokens& tokens, const EmbeddingBackward& op) {
  constexpr std::int64_t kColumns = kLanes * n;
  const dim3 grid(static_cast<unsigned>(tokens.count),
                  static_cast<unsigned>((op.d_out.columns + kColumns - 1) / kColumns));
  add_rows_of_id<T, n><<<grid, kThreads, 0, stream>>>(tokens, op.d_table.rows, rows_of<T>(op.d_out),
                                                      op.d_out.columns, rows_of<float>(op.d_table));
  check(cudaGetLastError());
}

template <class T>
void add_to_table(const Queue& queue, const EmbeddingBackward& op) {
  const std::int64_t tokens = op.d_out.rows;
  const Scratch<std::uint32_t> rows(queue, 2 * tokens);
  const Scratch<std::int32_t> numbers(queue, 2 * tokens);
  const auto blocks = static_cast<unsigned>((tokens + kThreads - 1) / kThreads);
  find_rows<<<blocks, kThreads, 0, queue>>>(static_cast<const std::int32_t*>(op.ids.data), tokens,
                                            op.first_id, op.d_table.rows, rows.data(),
                                            numbers.data());
  check(cudaGetLastError());
  const int bits = std::bit_width(static_cast<std::uint64_t>(op.d_table.rows));
  const auto sort = [&](void* scratch, std::size_t& bytes) {
    check(cub::DeviceRadixSort::SortPairs(
        scratch, bytes, rows.data(), rows.data() + tokens, numbers.data(), numbers.data() + tokens,
        static_cast<int>(tokens), 0, bits, static_cast<cudaStream_t>(queue)));
  };
  std::size_t bytes = 0;
  sort(nullptr, bytes);
  const Scratch<std::byte> scratch(queue, static_cast<std::int64_t>(bytes));
  sort(scratch.data(), bytes);
  const SortedTokens sorted{rows.data() + tokens, numbers.data() + tokens, tokens};
  if (in_packs<T>({op.d_out})) {
    add_sorted<T, 16 / static_cast<int>(sizeof(T))>(queue, sorted, op);
  } else {
    add_sorted<T, 1>(queue, sorted, op);
  }
}

template <class T>
struct PositionSums {
  Rows<T> d_out;
  Rows<float> d_positions;
  std::int64_t tokens, sequence;

  template <int n>
  __device__ void run(std::int64_t p, std::int64_t c) const {
    auto sum = read<n>(d_positions[p] + c);
    for (std::int64_t t = p; t < tokens; t += sequence) {
      const auto d = read<n>(d_out[t] + c);
      for (int i = 0; i < n; ++i) sum[i] += d[i];
    }
    write<n>(d_positions[p] + c, sum);
  }
};

template <class T>
void add_to_positions(cudaStream_t stream, const EmbeddingBackward& op) {
  const std::int64_t tokens = op.d_out.rows;
  const std::int64_t positions = tokens < op.sequence ? tokens : op.sequence;
  each_pack_of<T>(
      stream, {positions, op.d_out.columns}, in_packs<T>({op.d_out, op.d_positions}),
      PositionSums<T>{rows_of<T>(op.d_out), rows_of<float>(op.d_positions), tokens, op.sequence});
}

}  // namespace

void launch(cudaStream_t stream, const Embedding& op) {
  dispatch(op.out.dtype, [&]<class T>() { embed<T>(stream, op); });
}

void launch(const Queue& queue, const EmbeddingBackward& op) {
  if (op.d_out.rows == 0) return;
  dispatch(op.d_out.dtype, [&]<class T>() {
    add_to_table<T>(queue, op);
    if (op.d_positions) add_to_positions<T>(queue, op);
  });
}

}  // namespace trireme::kernels
