#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/attention_tiles.h"

namespace trireme::kernels {
namespace {

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
  float* log_sum_exp = a.log_sum_exp[a.statistics_row(head)];
  for (int i = 0; i < 2; ++i) {
    const float sum = row_sum(softmax.sum[i]);
    inverse[i] = 1.0f / sum;
    const int row = first + l.warp * 16 + l.row + 8 * i;
    if (l.column == 0 && row < a.sequence) {
      log_sum_exp[row] = (softmax.maximum[i] + log2f(sum)) / kLog2E;
    }
  }
  store_rows<T, width>(a.out, sums, l, base, first, a.sequence, column, a.head_dim, inverse);
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

}  // namespace trireme::kernels
