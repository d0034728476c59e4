#include "kernels/cpu/amx/amx_matmul.h"

#include <immintrin.h>
#include <omp.h>

#include <chrono>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/amx/tile_pack.h"
#include "kernels/cpu/scratch_memory.h"

namespace trireme::kernels {
namespace {

constexpr std::int64_t kBlock = 2 * kTile;    // rows and columns of sums held in tiles
constexpr std::int64_t kInnerBlock = 512;     // inner elements between visits to the sums
constexpr std::int64_t kRowsPacked = 2048;    // of the left factor, for all threads
constexpr std::int64_t kColumnsPacked = 256;  // of the right factor, for each
constexpr std::int64_t kPanelsTogether = 4;   // packed by one thread: lines of the cache
constexpr std::int64_t kChunks = kInnerBlock / kDepth;

constexpr std::int64_t round_up(std::int64_t count, std::int64_t to) {
  return (count + to - 1) / to * to;
}
constexpr std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// Eight tiles of 16 rows of 64 bytes.
struct alignas(64) TileConfiguration {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Tiles 0 to 3 = a b, where a is two panels of 16 rows, b two of 16 columns, `panel` bytes apart,
// each `chunks` times its parts. The terms of parts i and j are 2^-8(i+j) of the first.
template <int kPartsOf>
void multiply_chunks(const char* a, const char* b, std::int64_t panel, std::int64_t chunks) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    int loaded = -1;
#pragma GCC unroll 3
    for (int i = 0; i < kPartsOf; ++i) {
      _tile_loadd(4, a + i * kTileBytes, 64);
      _tile_loadd(5, a + panel + i * kTileBytes, 64);
      const int last = kPartsOf - 1 < 2 - i ? kPartsOf - 1 : 2 - i;
#pragma GCC unroll 3
      for (int step = 0; step <= last; ++step) {
        const int j = i % 2 == 0 ? last - step : step;  // begins with what is there already
        if (j != loaded) {
          _tile_loadd(6, b + j * kTileBytes, 64);
          _tile_loadd(7, b + panel + j * kTileBytes, 64);
          loaded = j;
        }
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
    a += kPartsOf * kTileBytes;
    b += kPartsOf * kTileBytes;
  }
}

// What every thread of one product knows.
struct Product {
  Factor a, b;
  float* out;
  std::int64_t out_stride;
  const float* bias;  // of each column, or none
  bool accumulate;

  float* place(std::int64_t row, std::int64_t column) const {
    return out + row * out_stride + column;
  }
};

template <class Stored>
constexpr std::int64_t panel_bytes() {
  return kChunks * kParts<Stored> * kTileBytes;
}

// Panels of 16 lines, in the order in which they lie in memory.
template <class Stored, bool kLeft>
void pack_panels(const Factor& factor, std::int64_t line, std::int64_t panels, std::int64_t k,
                 std::int64_t chunks, char* to) {
  const auto pack = [&](auto contiguous, std::int64_t panel, std::int64_t chunk) {
    pack_tile<Stored, kLeft, decltype(contiguous)::value>(
        factor, line + panel * kTile, k + chunk * kDepth,
        to + panel * panel_bytes<Stored>() + chunk * kParts<Stored> * kTileBytes);
  };
  if (factor.inner_is_contiguous) {
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) pack(std::true_type(), panel, chunk);
    }
  } else {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      for (std::int64_t panel = 0; panel < panels; ++panel) pack(std::false_type(), panel, chunk);
    }
  }
}

// Sums of a block on their way out of the tiles.
struct alignas(64) Block {
  float sums[kBlock][kBlock];
};

void store_tiles(Block& block) {
  constexpr std::int64_t kStride = sizeof block.sums[0];
  _tile_stored(0, &block.sums[0][0], kStride);
  _tile_stored(1, &block.sums[0][kTile], kStride);
  _tile_stored(2, &block.sums[kTile][0], kStride);
  _tile_stored(3, &block.sums[kTile][kTile], kStride);
}

// Adds a block to what is there: sums of earlier inner elements, the bias, or nothing yet.
void merge(const Block& block, const Product& product, std::int64_t row, std::int64_t column,
           bool first) {
  const std::int64_t rows = smaller(kBlock, product.a.lines - row);
  const bool adds = !first || product.accumulate;
  for (std::int64_t half = 0; half < kBlock; half += kTile) {
    const __mmask16 lanes = first_lanes(product.b.lines - column - half);
    const __m512 bias = first && product.bias
                            ? _mm512_maskz_loadu_ps(lanes, product.bias + column + half)
                            : _mm512_setzero_ps();
    for (std::int64_t r = 0; r < rows; ++r) {
      float* out = product.place(row + r, column + half);
      const __m512 before = adds ? _mm512_maskz_loadu_ps(lanes, out) : bias;
      _mm512_mask_storeu_ps(out, lanes,
                            _mm512_add_ps(before, _mm512_load_ps(&block.sums[r][half])));
    }
  }
}

// Their memory is on its way while the products are made.
void prefetch_sums(const Product& product, std::int64_t row, std::int64_t column) {
  const std::int64_t rows = smaller(kBlock, product.a.lines - row);
  for (std::int64_t r = 0; r < rows; ++r) {
    _mm_prefetch(product.place(row + r, column), _MM_HINT_T0);
    _mm_prefetch(product.place(row + r, column + kTile), _MM_HINT_T0);
  }
}

template <class Stored>
void multiply_block(const Product& product, const char* a, const char* b, std::int64_t row,
                    std::int64_t column, std::int64_t chunks, bool first) {
  prefetch_sums(product, row, column);
  multiply_chunks<kParts<Stored>>(a, b, panel_bytes<Stored>(), chunks);
  Block block;
  store_tiles(block);
  merge(block, product, row, column, first);
}

// A thread's part of the sums: all rows or, where there are fewer columns than threads can share, a
// part of them.
struct Share {
  std::int64_t first_row, last_row, first_column, last_column;
};

// Part `number` of `parts` of a length, in whole blocks.
std::int64_t boundary(std::int64_t length, int number, int parts) {
  const std::int64_t blocks = round_up(length, kBlock) / kBlock;
  return smaller(length, blocks * number / parts * kBlock);
}

Share share_of(std::int64_t rows, std::int64_t columns, int thread, int threads) {
  int across = threads;
  while (across > 1 && (threads % across != 0 || columns / across < 2 * kBlock)) --across;
  const int down = threads / across, x = thread % across, y = thread / across;
  return {.first_row = boundary(rows, y, down),
          .last_row = boundary(rows, y + 1, down),
          .first_column = boundary(columns, x, across),
          .last_column = boundary(columns, x + 1, across)};
}

// Inner elements [k, k + chunks * kDepth) of rows [row, row + share) and the share's columns.
template <class Stored>
void multiply_share(const Product& product, const Share& share, const char* packed_a,
                    char* packed_b, std::int64_t row, std::int64_t k, std::int64_t chunks) {
  constexpr std::int64_t kPanel = panel_bytes<Stored>();
  for (std::int64_t column = share.first_column; column < share.last_column;
       column += kColumnsPacked) {
    const std::int64_t columns = smaller(kColumnsPacked, share.last_column - column);
    pack_panels<Stored, false>(product.b, column, round_up(columns, kBlock) / kTile, k, chunks,
                               packed_b);
    for (std::int64_t r = share.first_row; r < share.last_row; r += kBlock) {
      for (std::int64_t c = 0; c < columns; c += kBlock) {
        multiply_block<Stored>(product, packed_a + r / kTile * kPanel,
                               packed_b + c / kTile * kPanel, row + r, column + c, chunks, k == 0);
      }
    }
  }
}

template <class Stored>
void multiply(const Product& product) {
  constexpr std::int64_t kPanel = panel_bytes<Stored>();
  const std::int64_t rows = product.a.lines, columns = product.b.lines, inner = product.a.inner;
  const auto a_bytes =
      static_cast<std::size_t>(round_up(smaller(rows, kRowsPacked), kBlock) / kTile * kPanel);
  char* packed_a = static_cast<char*>(take_scratch(a_bytes));
#pragma omp parallel
  {
    constexpr auto kBytes = static_cast<std::size_t>(kColumnsPacked / kTile * kPanel);
    char* packed_b = static_cast<char*>(take_scratch(kBytes));
    const TileConfiguration configuration;
    _tile_loadconfig(&configuration);
    for (std::int64_t row = 0; row < rows; row += kRowsPacked) {
      const std::int64_t count = smaller(kRowsPacked, rows - row);
      const Share share = share_of(count, columns, omp_get_thread_num(), omp_get_num_threads());
      for (std::int64_t k = 0; k < inner; k += kInnerBlock) {
        const std::int64_t chunks = round_up(smaller(kInnerBlock, inner - k), kDepth) / kDepth;
#pragma omp for schedule(static)
        for (std::int64_t panel = 0; panel < round_up(count, kBlock) / kTile;
             panel += kPanelsTogether) {
          pack_panels<Stored, true>(
              product.a, row + panel * kTile,
              smaller(kPanelsTogether, round_up(count, kBlock) / kTile - panel), k, chunks,
              packed_a + panel * kPanel);
        }
        multiply_share<Stored>(product, share, packed_a, packed_b, row, k, chunks);
#pragma omp barrier
      }
    }
    _tile_release();
    give_scratch(packed_b, kBytes);
  }
  give_scratch(packed_a, a_bytes);
}

// Products of bf16 in one of numbers that consist of as many parts.
constexpr int products_of(int parts) { return parts == 3 ? 6 : parts * parts; }

}  // namespace

double measure_amx_flops(Dtype dtype) {
  constexpr long kRounds = 20'000, kProducts = 8, kFlops = 2 * kTile * kTile * kDepth;
  const TileConfiguration configuration;
  _tile_loadconfig(&configuration);
  double best = 0;
  for (int trial = 0; trial < 25; ++trial) {
    const auto start = std::chrono::steady_clock::now();
    for (long round = 0; round < kRounds; ++round) {
      for (int half = 0; half < 2; ++half) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    const double rate = static_cast<double>(kRounds * kProducts * kFlops) / time.count();
    best = rate > best ? rate : best;
  }
  _tile_release();
  const int parts = dtype == Dtype::f32 ? kParts<float> : dtype == Dtype::f16 ? kParts<F16> : 1;
  return best / products_of(parts);
}

void multiply_with_amx(const Matmul& op) {
  const std::int64_t inner = op.inner();
  const Product product{.a = {.data = op.a.data,
                              .stride = op.a.stride,
                              .lines = op.out.rows,
                              .inner = inner,
                              .inner_is_contiguous = !op.transpose_a},
                        .b = {.data = op.b.data,
                              .stride = op.b.stride,
                              .lines = op.out.columns,
                              .inner = inner,
                              .inner_is_contiguous = op.transpose_b},
                        .out = static_cast<float*>(op.out.data),
                        .out_stride = op.out.stride,
                        .bias = static_cast<const float*>(op.bias.data),
                        .accumulate = op.accumulate};
  switch (op.a.dtype) {
    case Dtype::bf16: return multiply<Bf16>(product);
    case Dtype::f16: return multiply<F16>(product);
    default: return multiply<float>(product);
  }
}

}  // namespace trireme::kernels
