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

constexpr std::int64_t kBlock = 2 * kTile;   // rows and columns of sums held in tiles
constexpr std::int64_t kInnerBlock = 512;    // inner elements between visits to the sums
constexpr std::int64_t kOwnLines = 256;      // packed by each thread for itself, in its own cache
constexpr std::int64_t kCommonLines = 2048;  // of the other factor, packed by all for all
constexpr std::int64_t kPanelsTogether = 4;  // packed by one thread: lines of the cache
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
constexpr std::int64_t panel_bytes(std::int64_t chunks) {
  return chunks * kParts<Stored> * kTileBytes;
}

// The panels of so many lines: of whole blocks.
constexpr std::int64_t panels_of(std::int64_t lines) { return round_up(lines, kBlock) / kTile; }

// Panels of 16 lines, in the order in which they lie in memory.
template <class Stored, bool kLeft>
void pack_panels(const Factor& factor, std::int64_t line, std::int64_t panels, std::int64_t k,
                 std::int64_t chunks, char* to) {
  const auto pack = [&](auto contiguous, std::int64_t panel, std::int64_t chunk) {
    pack_tile<Stored, kLeft, decltype(contiguous)::value>(
        factor, line + panel * kTile, k + chunk * kDepth,
        to + panel * panel_bytes<Stored>(chunks) + chunk * kParts<Stored> * kTileBytes);
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

void store_tiles(float* to, std::int64_t stride) {
  const std::int64_t bytes = stride * static_cast<std::int64_t>(sizeof(float));
  _tile_stored(0, to, bytes);
  _tile_stored(1, to + kTile, bytes);
  _tile_stored(2, to + kTile * stride, bytes);
  _tile_stored(3, to + kTile * stride + kTile, bytes);
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
  multiply_chunks<kParts<Stored>>(a, b, panel_bytes<Stored>(chunks), chunks);
  const bool whole = row + kBlock <= product.a.lines && column + kBlock <= product.b.lines;
  if (whole && first && !product.accumulate && !product.bias) {
    store_tiles(product.place(row, column), product.out_stride);
  } else {
    Block block;
    store_tiles(&block.sums[0][0], kBlock);
    merge(block, product, row, column, first);
  }
}

// A thread's part of the sums: lines of its own and all of the others' or, where there are fewer
// than threads can share, a part of those too.
struct Share {
  std::int64_t first_own, last_own, first_common, last_common;
};

// Part `number` of `parts` of a length, in whole blocks.
std::int64_t boundary(std::int64_t length, int number, int parts) {
  const std::int64_t blocks = round_up(length, kBlock) / kBlock;
  return smaller(length, blocks * number / parts * kBlock);
}

Share share_of(std::int64_t own, std::int64_t common, int thread, int threads) {
  int parts = threads;
  while (parts > 1 && (threads % parts != 0 || own / parts < 2 * kBlock)) --parts;
  const int others = threads / parts, x = thread % others, y = thread / others;
  return {.first_own = boundary(own, y, parts),
          .last_own = boundary(own, y + 1, parts),
          .first_common = boundary(common, x, others),
          .last_common = boundary(common, x + 1, others)};
}

// Inner elements [k, k + chunks * kDepth) of a share. The common lines begin at `start`.
template <class Stored, bool kOwnIsLeft>
void multiply_share(const Product& product, const Share& share, char* packed_own,
                    const char* packed_common, std::int64_t start, std::int64_t k,
                    std::int64_t chunks) {
  const std::int64_t panel = panel_bytes<Stored>(chunks);
  const Factor& factor = kOwnIsLeft ? product.a : product.b;
  for (std::int64_t own = share.first_own; own < share.last_own; own += kOwnLines) {
    const std::int64_t lines = smaller(kOwnLines, share.last_own - own);
    pack_panels<Stored, kOwnIsLeft>(factor, own, panels_of(lines), k, chunks, packed_own);
    for (std::int64_t common = share.first_common; common < share.last_common; common += kBlock) {
      const char* others = packed_common + common / kTile * panel;
      for (std::int64_t line = 0; line < lines; line += kBlock) {
        const char* mine = packed_own + line / kTile * panel;
        if (kOwnIsLeft) {
          multiply_block<Stored>(product, mine, others, own + line, start + common, chunks, k == 0);
        } else {
          multiply_block<Stored>(product, others, mine, start + common, own + line, chunks, k == 0);
        }
      }
    }
  }
}

// What one thread does: it packs a part of the common factor for all, then multiplies its share.
template <class Stored, bool kOwnIsLeft>
void multiply_on_thread(const Product& product, char* packed_own, char* packed_common) {
  const Factor& own = kOwnIsLeft ? product.a : product.b;
  const Factor& common = kOwnIsLeft ? product.b : product.a;
  const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
  for (std::int64_t start = 0; start < common.lines; start += kCommonLines) {
    const std::int64_t count = smaller(kCommonLines, common.lines - start);
    const Share share = share_of(own.lines, count, thread, threads);
    for (std::int64_t k = 0; k < own.inner; k += kInnerBlock) {
      const std::int64_t chunks = round_up(smaller(kInnerBlock, own.inner - k), kDepth) / kDepth;
#pragma omp for schedule(static)
      for (std::int64_t panel = 0; panel < panels_of(count); panel += kPanelsTogether) {
        pack_panels<Stored, !kOwnIsLeft>(
            common, start + panel * kTile, smaller(kPanelsTogether, panels_of(count) - panel), k,
            chunks, packed_common + panel * panel_bytes<Stored>(chunks));
      }
      multiply_share<Stored, kOwnIsLeft>(product, share, packed_own, packed_common, start, k,
                                         chunks);
#pragma omp barrier
    }
  }
}

// The factor with fewer lines is the common one: it makes the longer way, through the memory that
// the threads share.
template <class Stored>
void multiply(const Product& product) {
  constexpr std::int64_t kPanel = panel_bytes<Stored>(kChunks);
  const bool own_is_left = product.a.lines >= product.b.lines;
  const std::int64_t common = own_is_left ? product.b.lines : product.a.lines;
  const auto common_bytes =
      static_cast<std::size_t>(panels_of(smaller(common, kCommonLines)) * kPanel);
  constexpr auto kOwnBytes = static_cast<std::size_t>(panels_of(kOwnLines) * kPanel);
  const auto threads = static_cast<std::size_t>(omp_get_max_threads());
  // All of it here: what fails must not do so in a region whose threads wait for each other.
  const std::size_t bytes = common_bytes + threads * kOwnBytes;
  char* const scratch = static_cast<char*>(take_scratch(bytes));
  char* const packed_common = scratch + threads * kOwnBytes;
#pragma omp parallel
  {
    char* const packed_own = scratch + static_cast<std::size_t>(omp_get_thread_num()) * kOwnBytes;
    const TileConfiguration configuration;
    _tile_loadconfig(&configuration);
    if (own_is_left) {
      multiply_on_thread<Stored, true>(product, packed_own, packed_common);
    } else {
      multiply_on_thread<Stored, false>(product, packed_own, packed_common);
    }
    _tile_release();
  }
  give_scratch(scratch, bytes);
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
