#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/attention_tiles.h"

namespace trireme::kernels {
namespace {

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
    log_sum[i] = a.log_sum_exp[a.statistics_row(head)][row] * kLog2E;
    out_dot[i] = a.out_dot[a.statistics_row(head)][row];
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
    const float* log_sums = a.log_sum_exp[a.statistics_row(head_of(i))];
    const float* out_dots = a.out_dot[a.statistics_row(head_of(i))];
    for (int n = 0; n < kQueries / 8; ++n) {
      for (int c = 0; c < 2; ++c) {
        const int query = first_query(i) + n * 8 + l.column + c;
        const bool exists = query < a.sequence;
        const int at = exists ? query : 0;
        const float log_sum = log_sums[at] * kLog2E, out_dot = out_dots[at];
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

}  // namespace

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
    tiles.out_dot = {out_dot, op.shape.sequence};
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
