// The packed micro-kernel: packers and the register tile. The kernels without packing are in matmul_direct.hpp.
#include "matmul.hpp"
#include "simd/matmul_direct.hpp"
#include "simd/matmul_pack.hpp"
#include "simd/matmul_quantized.hpp"

namespace ln::cpu::LN_TIER {

namespace {

void pack_a(const Matrix& a, int64_t m, int64_t row, int64_t rows, int64_t k, int64_t count, float scale,
            float* panel) {
  with_plain_reader(
      a, [&](const auto& source) { pack_a_from(source, a.transposed, m, row, rows, k, count, scale, panel); });
}

void pack_b(const Matrix& b, int64_t k, int64_t count, int64_t column, int64_t columns, float* panels,
            int64_t panel_step) {
  with_reader(
      b, [&](const auto& source) { pack_b_from(source, b.transposed, k, count, column, columns, panels, panel_step); });
}

// Registers in a line of the cache.
constexpr int kPrefetchVectors = 16 / LN_WIDTH;

/// One step of k.
template <int R, int V>
LN_INLINE void add_step(const float* a, const float* b, vf (&sum)[R][V]) {
  vf y[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) y[v] = load(b + v * kWidth);
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    const vf x = broadcast(a[i]);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sum[i][v] = fma(x, y[v], sum[i][v]);
  }
}

/// One register tile: R rows, V vectors of columns, the last one maybe in part. Every element is a chain of fused
/// multiply-adds in rising k that starts at the bias.
template <int R, int V>
void tile(int64_t count, const float* a, int64_t more, const float* a_more, const float* b, const float* bias,
          float beta, float* c, int64_t ldc, int64_t columns, ComingLines* coming, int64_t lines) {
  // Where the sums go is rarely in the caches, and needed last.
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < V; v += kPrefetchVectors) __builtin_prefetch(c + i * ldc + v * kWidth, 1);
  }
  vf sum[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sum[i][v] = bias == nullptr ? (vf){} : load(bias + v * kWidth);
  }
  // One line in a step, so that memory answers while the next steps are computed.
  const int64_t offered = lines < coming->left ? lines : coming->left, asking = offered < count ? offered : count;
  ComingLines next = *coming;
  int64_t p = 0;
  for (; p < asking; ++p, a += kPanelStride, b += kTileColumns) {
    __builtin_prefetch(next.at, 0, 2);
    next.at += ComingLines::kLine;
    if (--next.left_of_run == 0) {
      next.left_of_run = next.run;
      next.at += next.gap;
    }
    add_step<R, V>(a, b, sum);
  }
  next.left -= asking;
  *coming = next;
#pragma GCC unroll 2
  for (; p < count; ++p, a += kPanelStride, b += kTileColumns) add_step<R, V>(a, b, sum);
#pragma GCC unroll 2
  for (p = 0; p < more; ++p, a_more += kPanelStride, b += kTileColumns) add_step<R, V>(a_more, b, sum);
  const int64_t part = columns - (V - 1) * kWidth;
  const vf factor = broadcast(beta);
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    float* row = c + i * ldc;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      float* p = row + v * kWidth;
      if (v < V - 1 || part == kWidth) {
        store(p, beta == 0 ? sum[i][v] : fma(factor, load(p), sum[i][v]));
      } else {
        store_part(p, beta == 0 ? sum[i][v] : fma(factor, load_part(p, part), sum[i][v]), part);
      }
    }
  }
}

typedef void (*Tile)(int64_t, const float*, int64_t, const float*, const float*, const float*, float, float*, int64_t,
                     int64_t, ComingLines*, int64_t);

struct Tiles {
  Tile of[kTileRows][kTileVectors] = {};

  template <int R, int V>
  constexpr void fill() {
    of[R - 1][V - 1] = tile<R, V>;
    if constexpr (V > 1) {
      fill<R, V - 1>();
    } else if constexpr (R > 1) {
      fill<R - 1, kTileVectors>();
    }
  }
  constexpr Tiles() { fill<kTileRows, kTileVectors>(); }
};

// A constant, not a constructor: that would run when the library is loaded, on machines without this tier too.
constexpr Tiles tiles;

void any_tile(int64_t count, const float* a, int64_t more, const float* a_more, const float* b, const float* bias,
              float beta, float* c, int64_t ldc, int64_t rows, int64_t columns, ComingLines* coming, int64_t lines) {
  tiles.of[rows - 1][(columns - 1) / kWidth](count, a, more, a_more, b, bias, beta, c, ldc, columns, coming, lines);
}

}  // namespace

const MatmulKernels& matmul_kernels() {
  static const MatmulKernels kernels = {kTileRows, kTileColumns, kPanelStride, kDirectRows, pack_a,
                                        pack_b,    any_tile,     takes_direct, direct};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
