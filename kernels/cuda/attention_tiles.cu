#include "kernels/cuda/attention_tiles.h"
#include "kernels/cuda/device_numbers.cuh"
#include "kernels/cuda/warp.cuh"

namespace trireme::kernels {
namespace {

constexpr int kBlockThreads = 128;  // four warps, of 16 rows of a tile each
constexpr int kTileRows = 64;
constexpr int kPadding = 8;  // elements, so that the rows of a matrix lie in different banks
constexpr float kLog2E = 1.4426950408889634f;

template <class T>
struct Tiles {
  Rows<T> q, k, v, out;
  Rows<float> log_sum_exp;
  int sequence, heads, kv_heads, head_dim;
  float scale;
  Rows<T> d_out = {}, d_q = {}, d_k = {}, d_v = {};
  const float* out_dot = nullptr;

  __device__ int row_tiles() const { return (sequence + kTileRows - 1) / kTileRows; }
  __device__ int group() const { return heads / kv_heads; }
};

// Where a thread stands in its warp, and what it has of a fragment.
struct Lane {
  int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  int row = lane / 4, column = lane % 4 * 2;  // of c: rows row and row + 8, columns column and + 1
};

// Rows of one head in shared memory, `width` columns, zeros beyond what there is.
template <class T, int width>
struct Tile {
  static constexpr int kStride = width + kPadding;
  T* data;

  __device__ T* at(int row, int column) const { return data + row * kStride + column; }

  // Begins to copy `rows` rows from row `first` of the sequence that begins at `base`.
  __device__ void begin_load(int rows, Rows<T> from, std::int64_t base, int first, int sequence,
                             int column, int head_dim) const {
    constexpr int kPieces = width / 8;
    for (int i = static_cast<int>(threadIdx.x); i < rows * kPieces; i += kBlockThreads) {
      const int r = i / kPieces, c = i % kPieces * 8;
      const bool exists = first + r < sequence && c < head_dim;
      begin_copy(at(r, c), from[base + (exists ? first + r : 0)] + column + (exists ? c : 0),
                 exists);
    }
  }

  // Rows row0 to row0 + 15 and columns k to k + 15, as the first factor.
  __device__ void first_factor(unsigned (&to)[4], const Lane& l, int row0, int k) const {
    load_matrices(to, at(row0 + l.lane % 16, k + l.lane / 16 * 8));
  }
  // The second factor of two products whose columns are rows n to n + 15 of this tile.
  __device__ void second_of_rows(unsigned (&to)[4], const Lane& l, int n, int k) const {
    load_matrices(to, at(n + l.lane % 8 + l.lane / 16 * 8, k + l.lane / 8 % 2 * 8));
  }
  // The second factor of two products whose columns are columns n to n + 15 of this tile.
  __device__ void second_of_columns(unsigned (&to)[4], const Lane& l, int k, int n) const {
    load_transposed(to, at(k + l.lane % 8 + l.lane / 8 % 2 * 8, n + l.lane / 16 * 8));
  }
};

template <int width, int rows>
constexpr int kTileElements = rows*(width + kPadding);

// products (16, columns) = rows of a . rows of b, both `width` wide.
template <class T, int width, int columns>
__device__ void multiply_rows(float (&products)[columns / 8][4], const Lane& l, Tile<T, width> a,
                              Tile<T, width> b) {
  for (auto& product : products) {
    for (float& value : product) value = 0;
  }
#pragma unroll
  for (int k = 0; k < width; k += 16) {
    unsigned first[4], second[4];
    a.first_factor(first, l, l.warp * 16, k);
#pragma unroll
    for (int n = 0; n < columns; n += 16) {
      b.second_of_rows(second, l, n, k);
      multiply_add(products[n / 8], first, second[0], second[1], T());
      multiply_add(products[n / 8 + 1], first, second[2], second[3], T());
    }
  }
}

// sums (16, width) += factors (16, rows) . b (rows, width); factors are rounded to T.
template <class T, int width, int rows>
__device__ void multiply_columns(float (&sums)[width / 8][4], const float (&factors)[rows / 8][4],
                                 const Lane& l, Tile<T, width> b) {
#pragma unroll
  for (int k = 0; k < rows; k += 16) {
    const float(&low)[4] = factors[k / 8];
    const float(&high)[4] = factors[k / 8 + 1];
    const unsigned first[4] = {packed(low[0], low[1], T()), packed(low[2], low[3], T()),
                               packed(high[0], high[1], T()), packed(high[2], high[3], T())};
    unsigned second[4];
#pragma unroll
    for (int n = 0; n < width; n += 16) {
      b.second_of_columns(second, l, k, n);
      multiply_add(sums[n / 8], first, second[0], second[1], T());
      multiply_add(sums[n / 8 + 1], first, second[2], second[3], T());
    }
  }
}

// Rows of a warp's sums, from row `first` of the sequence on, times a factor for each of the two.
template <class T, int width>
__device__ void store_rows(Rows<T> to, const float (&sums)[width / 8][4], const Lane& l,
                           std::int64_t base, int first, int sequence, int column, int head_dim,
                           const float (&factor)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int row = first + l.warp * 16 + l.row + 8 * i;
    if (row >= sequence) continue;
    T* out = to[base + row] + column;
#pragma unroll
    for (int n = 0; n < width / 8; ++n) {
      const int c = n * 8 + l.column;
      if (c >= head_dim) continue;
      *reinterpret_cast<unsigned*>(out + c) =
          packed(sums[n][2 * i] * factor[i], sums[n][2 * i + 1] * factor[i], T());
    }
  }
}

// Over the four lanes that share a row.
__device__ float row_maximum(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
}
__device__ float row_sum(float value) {
  value += __shfl_xor_sync(0xffffffffu, value, 1);
  return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

// The running softmax of a warp's rows, in powers of two.
struct RunningSoftmax {
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};  // of this lane's columns

  // Scores become weights; `sums`, of what was weighted before, fade.
  template <int scores_count, int sums_count>
  __device__ void add(float (&scores)[scores_count][4], float (&sums)[sums_count][4], float scale) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float highest = -INFINITY;
      for (const auto& score : scores)
        highest = fmaxf(highest, fmaxf(score[2 * i], score[2 * i + 1]));
      highest = fmaxf(maximum[i], row_maximum(highest) * scale);
      const float fade = exp2f(maximum[i] - highest);
      maximum[i] = highest;
      sum[i] *= fade;
      for (auto& s : sums) {
        s[2 * i] *= fade;
        s[2 * i + 1] *= fade;
      }
      for (auto& score : scores) {
        for (int e = 2 * i; e < 2 * i + 2; ++e) {
          score[e] = exp2f(score[e] * scale - highest);
          sum[i] += score[e];
        }
      }
    }
  }
};

// One block per tile of queries and head, the longest first.
template <class T, int width>
__global__ void __launch_bounds__(kBlockThreads) attend_tile(Tiles<T> a) {
  constexpr int kKeys = kTileRows;
  const Lane l;
  const int tile = a.row_tiles() - 1 - static_cast<int>(blockIdx.x), first = tile * kTileRows;
  const int head = static_cast<int>(blockIdx.y), column = head * a.head_dim;
  const int kv_column = head / a.group() * a.head_dim;
  const std::int64_t base = std::int64_t{blockIdx.z} * a.sequence;
  constexpr int kElements = kTileElements<width, kTileRows>;
  T* const memory = reinterpret_cast<T*>(shared_memory());
  const Tile<T, width> q{memory};
  const auto keys = [&](int j) { return Tile<T, width>{memory + (1 + j % 2) * kElements}; };
  const auto values = [&](int j) { return Tile<T, width>{memory + (3 + j % 2) * kElements}; };
  const auto begin_load = [&](int j) {
    keys(j).begin_load(kKeys, a.k, base, j * kKeys, a.sequence, kv_column, a.head_dim);
    values(j).begin_load(kKeys, a.v, base, j * kKeys, a.sequence, kv_column, a.head_dim);
    end_group();
  };
  q.begin_load(kTileRows, a.q, base, first, a.sequence, column, a.head_dim);
  begin_load(0);
  float sums[width / 8][4] = {};
  RunningSoftmax softmax;
  for (int j = 0; j <= tile; ++j) {
    if (j < tile) {
      begin_load(j + 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    float scores[kKeys / 8][4];
    multiply_rows<T, width, kKeys>(scores, l, q, keys(j));
    if (j == tile) {
      for (int n = 0; n < kKeys / 8; ++n) {
        for (int e = 0; e < 4; ++e) {
          const int key = n * 8 + l.column + e % 2, query = l.warp * 16 + l.row + e / 2 * 8;
          if (key > query) scores[n][e] = -INFINITY;
        }
      }
    }
    softmax.add(scores, sums, a.scale * kLog2E);
    multiply_columns<T, width, kKeys>(sums, scores, l, values(j));
    __syncthreads();
  }
  float inverse[2];
  for (int i = 0; i < 2; ++i) {
    const float sum = row_sum(softmax.sum[i]);
    inverse[i] = 1.0f / sum;
    const int row = first + l.warp * 16 + l.row + 8 * i;
    if (l.column == 0 && row < a.sequence) {
      a.log_sum_exp[base + row][head] = (softmax.maximum[i] + log2f(sum)) / kLog2E;
    }
  }
  store_rows<T, width>(a.out, sums, l, base, first, a.sequence, column, a.head_dim, inverse);
}

// One block per tile of queries and head.
template <class T, int width, int kKeys>
__global__ void __launch_bounds__(kBlockThreads) differentiate_query_tile(Tiles<T> a) {
  const Lane l;
  const int tile = a.row_tiles() - 1 - static_cast<int>(blockIdx.x), first = tile * kTileRows;
  const int head = static_cast<int>(blockIdx.y), column = head * a.head_dim;
  const int kv_column = head / a.group() * a.head_dim;
  const std::int64_t base = std::int64_t{blockIdx.z} * a.sequence;
  constexpr int kLarge = kTileElements<width, kTileRows>, kSmall = kTileElements<width, kKeys>;
  T* const memory = reinterpret_cast<T*>(shared_memory());
  const Tile<T, width> q{memory}, d_out{memory + kLarge};
  const auto keys = [&](int j) { return Tile<T, width>{memory + 2 * kLarge + j % 2 * kSmall}; };
  const auto values = [&](int j) {
    return Tile<T, width>{memory + 2 * kLarge + (2 + j % 2) * kSmall};
  };
  const auto begin_load = [&](int j) {
    keys(j).begin_load(kKeys, a.k, base, j * kKeys, a.sequence, kv_column, a.head_dim);
    values(j).begin_load(kKeys, a.v, base, j * kKeys, a.sequence, kv_column, a.head_dim);
    end_group();
  };
  q.begin_load(kTileRows, a.q, base, first, a.sequence, column, a.head_dim);
  d_out.begin_load(kTileRows, a.d_out, base, first, a.sequence, column, a.head_dim);
  begin_load(0);
  float log_sum[2] = {}, out_dot[2] = {};
  for (int i = 0; i < 2; ++i) {
    const int row = first + l.warp * 16 + l.row + 8 * i;
    if (row >= a.sequence) continue;
    log_sum[i] = a.log_sum_exp[base + row][head] * kLog2E;
    out_dot[i] = a.out_dot[(base + row) * a.heads + head];
  }
  float sums[width / 8][4] = {};
  const int tiles = (tile + 1) * (kTileRows / kKeys);
  for (int j = 0; j < tiles; ++j) {
    if (j + 1 < tiles) {
      begin_load(j + 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    float weights[kKeys / 8][4], d_weights[kKeys / 8][4];
    multiply_rows<T, width, kKeys>(weights, l, q, keys(j));
    multiply_rows<T, width, kKeys>(d_weights, l, d_out, values(j));
    for (int n = 0; n < kKeys / 8; ++n) {
      for (int e = 0; e < 4; ++e) {
        const int key = j * kKeys + n * 8 + l.column + e % 2;
        const int query = first + l.warp * 16 + l.row + e / 2 * 8;
        const float weight = exp2f(weights[n][e] * a.scale * kLog2E - log_sum[e / 2]);
        weights[n][e] = key > query ? 0.0f : weight * (d_weights[n][e] - out_dot[e / 2]);
      }
    }
    multiply_columns<T, width, kKeys>(sums, weights, l, keys(j));
    __syncthreads();
  }
  const float factor[2] = {a.scale, a.scale};
  store_rows<T, width>(a.d_q, sums, l, base, first, a.sequence, column, a.head_dim, factor);
}

// One block per tile of keys and key head: goes through the queries that see it, head by head. Rows
// of its products are keys.
template <class T, int width, int kQueries>
__global__ void __launch_bounds__(kBlockThreads) differentiate_key_tile(Tiles<T> a) {
  const Lane l;
  const int first = static_cast<int>(blockIdx.x) * kTileRows;
  const int kv_head = static_cast<int>(blockIdx.y), kv_column = kv_head * a.head_dim;
  const std::int64_t base = std::int64_t{blockIdx.z} * a.sequence;
  constexpr int kLarge = kTileElements<width, kTileRows>, kSmall = kTileElements<width, kQueries>;
  T* const memory = reinterpret_cast<T*>(shared_memory());
  const Tile<T, width> keys{memory}, values{memory + kLarge};
  const auto queries = [&](int i) { return Tile<T, width>{memory + 2 * kLarge + i % 2 * kSmall}; };
  const auto d_outs = [&](int i) {
    return Tile<T, width>{memory + 2 * kLarge + (2 + i % 2) * kSmall};
  };
  const int tiles = (a.sequence - first + kQueries - 1) / kQueries;  // of each head
  const auto head_of = [&](int i) { return kv_head * a.group() + i / tiles; };
  const auto first_query = [&](int i) { return first + i % tiles * kQueries; };
  const auto begin_load = [&](int i) {
    const int column = head_of(i) * a.head_dim;
    queries(i).begin_load(kQueries, a.q, base, first_query(i), a.sequence, column, a.head_dim);
    d_outs(i).begin_load(kQueries, a.d_out, base, first_query(i), a.sequence, column, a.head_dim);
    end_group();
  };
  keys.begin_load(kTileRows, a.k, base, first, a.sequence, kv_column, a.head_dim);
  values.begin_load(kTileRows, a.v, base, first, a.sequence, kv_column, a.head_dim);
  begin_load(0);
  float d_keys[width / 8][4] = {}, d_values[width / 8][4] = {};
  for (int i = 0; i < a.group() * tiles; ++i) {
    if (i + 1 < a.group() * tiles) {
      begin_load(i + 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    float weights[kQueries / 8][4], d_weights[kQueries / 8][4];
    multiply_rows<T, width, kQueries>(weights, l, keys, queries(i));
    multiply_rows<T, width, kQueries>(d_weights, l, values, d_outs(i));
    for (int n = 0; n < kQueries / 8; ++n) {
      for (int c = 0; c < 2; ++c) {
        const int query = first_query(i) + n * 8 + l.column + c;
        const bool exists = query < a.sequence;
        const std::int64_t token = base + (exists ? query : 0);
        const float log_sum = a.log_sum_exp[token][head_of(i)] * kLog2E;
        const float out_dot = a.out_dot[token * a.heads + head_of(i)];
        for (int e = c; e < 4; e += 2) {
          const int key = first + l.warp * 16 + l.row + e / 2 * 8;
          const float weight = exp2f(weights[n][e] * a.scale * kLog2E - log_sum);
          weights[n][e] = exists && key <= query ? weight : 0.0f;
          d_weights[n][e] = weights[n][e] * (d_weights[n][e] - out_dot);
        }
      }
    }
    multiply_columns<T, width, kQueries>(d_values, weights, l, d_outs(i));
    multiply_columns<T, width, kQueries>(d_keys, d_weights, l, queries(i));
    __syncthreads();
  }
  const float scale[2] = {a.scale, a.scale}, one[2] = {1.0f, 1.0f};
  store_rows<T, width>(a.d_k, d_keys, l, base, first, a.sequence, kv_column, a.head_dim, scale);
  store_rows<T, width>(a.d_v, d_values, l, base, first, a.sequence, kv_column, a.head_dim, one);
}

template <class T, class Op>
Tiles<T> tiles_of(const Op& op) {
  return {.q = rows_of<T>(op.q),
          .k = rows_of<T>(op.k),
          .v = rows_of<T>(op.v),
          .out = rows_of<T>(op.out),
          .log_sum_exp = rows_of<float>(op.log_sum_exp),
          .sequence = static_cast<int>(op.shape.sequence),
          .heads = static_cast<int>(op.shape.heads),
          .kv_heads = static_cast<int>(op.shape.kv_heads),
          .head_dim = static_cast<int>(op.shape.head_dim),
          .scale = static_cast<float>(op.scale)};
}

bool is_aligned(const View& view) {
  return reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0 &&
         view.stride * static_cast<std::int64_t>(size_of(view.dtype)) % 16 == 0;
}

template <class Op>
bool is_suited(const Op& op) {
  return op.shape.head_dim <= 128 && op.shape.head_dim % 8 == 0 && is_aligned(op.q) &&
         is_aligned(op.k) && is_aligned(op.v) && is_aligned(op.out);
}

// A kernel over tiles of rows, heads and sequences, with `elements` of T in shared memory.
template <class T>
void launch_tiles(cudaStream_t stream, void (*kernel)(Tiles<T>), const Tiles<T>& tiles,
                  std::int64_t tokens, int heads, int elements) {
  const auto bytes = static_cast<int>(static_cast<std::size_t>(elements) * sizeof(T));
  check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  const int row_tiles = (tiles.sequence + kTileRows - 1) / kTileRows;
  const dim3 grid(static_cast<unsigned>(row_tiles), static_cast<unsigned>(heads),
                  static_cast<unsigned>(tokens / tiles.sequence));
  kernel<<<grid, kBlockThreads, static_cast<std::size_t>(bytes), stream>>>(tiles);
  check(cudaGetLastError());
}

// Calls `body.template operator()<T, width>()` with the narrowest tile that holds a head.
template <class Body>
void dispatch_width(Dtype dtype, std::int64_t head_dim, const Body& body) {
  const auto with = [&]<class T>() {
    if (head_dim <= 32) return body.template operator()<T, 32>();
    if (head_dim <= 64) return body.template operator()<T, 64>();
    return body.template operator()<T, 128>();
  };
  if (dtype == Dtype::bf16) return with.template operator()<__nv_bfloat16>();
  with.template operator()<__half>();
}

}  // namespace

bool attend_in_tiles(cudaStream_t stream, const Attention& op) {
  if (size_of(op.q.dtype) != 2 || !is_suited(op)) return false;
  dispatch_width(op.q.dtype, op.shape.head_dim, [&]<class T, int width>() {
    const auto tiles = tiles_of<T>(op);
    launch_tiles<T>(stream, attend_tile<T, width>, tiles, op.q.rows, tiles.heads,
                    5 * kTileElements<width, kTileRows>);
  });
  return true;
}

bool differentiate_in_tiles(cudaStream_t stream, const AttentionBackward& op,
                            const float* out_dot) {
  if (size_of(op.q.dtype) != 2 || !is_suited(op) || !is_aligned(op.d_out) || !is_aligned(op.d_q) ||
      !is_aligned(op.d_k) || !is_aligned(op.d_v)) {
    return false;
  }
  dispatch_width(op.q.dtype, op.shape.head_dim, [&]<class T, int width>() {
    // A thread's registers have to hold the sums.
    constexpr int kOthers = width > 64 ? 32 : 64;
    auto tiles = tiles_of<T>(op);
    tiles.d_out = rows_of<T>(op.d_out);
    tiles.d_q = rows_of<T>(op.d_q);
    tiles.d_k = rows_of<T>(op.d_k);
    tiles.d_v = rows_of<T>(op.d_v);
    tiles.out_dot = out_dot;
    constexpr int kElements =
        2 * kTileElements<width, kTileRows> + 4 * kTileElements<width, kOthers>;
    launch_tiles<T>(stream, differentiate_query_tile<T, width, kOthers>, tiles, op.q.rows,
                    tiles.heads, kElements);
    launch_tiles<T>(stream, differentiate_key_tile<T, width, kOthers>, tiles, op.q.rows,
                    tiles.kv_heads, kElements);
  });
  return true;
}

}  // namespace trireme::kernels
