// Small products c[rows, columns] (=, +=) a[rows, k] . b[k, columns] whose columns lie in the lanes of a few registers.
//
// Attention puts queries (or keys, for the gradients) into the lanes of scores, so that softmax and the weighted sums
// need no horizontal operation; the gradients of rows have the columns of a head there. Every element of c is a chain
// of fused multiply-adds in rising k: neither the split of k over calls nor the side an operand is on changes a bit.
#pragma once

#include "math.hpp"
#include "rows.hpp"
#include "transpose.hpp"

namespace ln::cpu::LN_TIER {

// Accumulators, one row of b and one broadcast of a must fit the register file (32 registers in AVX-512 and
// NEON, 16 elsewhere). A single register of columns has more rows, for independent chains hide the latency.
#if LN_WIDTH == 16
constexpr int kPanelVectors = 2, kProductRows = 12;
#elif defined(__aarch64__)
constexpr int kPanelVectors = 4, kProductRows = 6;
#else
constexpr int kPanelVectors = 2, kProductRows = 6;
#endif
constexpr int kLaneRows = 12;
constexpr int64_t kPanel = kPanelVectors * LN_WIDTH;

// Where a mask cuts a tile, so many registers of queries or keys leave out together what none of them sees. Narrow
// registers alone would load an operand for every multiplication.
constexpr int kMaskVectors = LN_WIDTH == 16 ? 1 : kPanelVectors;
constexpr int64_t kMaskLanes = kMaskVectors * LN_WIDTH;

enum class Sum { kSet, kAdd, kScaleAndAdd };

/// Where element (row, k) of the left-hand side lies.
enum class Left { kRows, kColumns };  // data[row * ld + k], data[k * ld + row]

/// Floats from one row or step of k to the next.
struct Strides {
  int64_t a, b, c;
};

template <int R, int V, Left Layout, Sum Mode>
LN_INLINE void product_rows(const float* a, int64_t k, const float* b, const vf* factor, float* c,
                            const Strides& stride) {
  vf total[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      total[r][v] = Mode == Sum::kSet ? (vf){} : load(c + r * stride.c + v * kWidth);
      if constexpr (Mode == Sum::kScaleAndAdd) total[r][v] *= factor[v];
    }
  }
  for (int64_t p = 0; p < k; ++p) {
    vf y[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) y[v] = load(b + p * stride.b + v * kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const vf x = broadcast(Layout == Left::kRows ? a[r * stride.a + p] : a[p * stride.a + r]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) total[r][v] = fma(x, y[v], total[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store(c + r * stride.c + v * kWidth, total[r][v]);
  }
}

/// Rows from `row` on, R at a time, then fewer.
template <int R, int V, Left Layout, Sum Mode>
LN_INLINE void product_from(const float* a, int64_t row, int64_t rows, int64_t k, const float* b, const vf* factor,
                            float* c, const Strides& stride) {
  for (; row + R <= rows; row += R) {
    product_rows<R, V, Layout, Mode>(a + (Layout == Left::kRows ? row * stride.a : row), k, b, factor,
                                     c + row * stride.c, stride);
  }
  if constexpr (R > 1) product_from<(R > 4 ? 4 : R / 2), V, Layout, Mode>(a, row, rows, k, b, factor, c, stride);
}

/// V registers of columns; factor, for kScaleAndAdd, has one entry per column.
template <int V, Left Layout, Sum Mode>
void product_of(const float* a, int64_t rows, int64_t k, const float* b, const vf* factor, float* c,
                const Strides& stride) {
  product_from<(V == 1 ? kLaneRows : kProductRows), V, Layout, Mode>(a, 0, rows, k, b, factor, c, stride);
}

/// b and c are panels of kPanel columns.
template <Left Layout, Sum Mode>
LN_INLINE void product(const float* a, int64_t ld, int64_t rows, int64_t k, const float* b, float* c,
                       const vf* factor = nullptr) {
  product_of<kPanelVectors, Layout, Mode>(a, rows, k, b, factor, c, {ld, kPanel, kPanel});
}

/// The kMaskLanes columns of panels that b and c point to.
template <Left Layout, Sum Mode>
LN_INLINE void lane_product(const float* a, int64_t ld, int64_t rows, int64_t k, const float* b, float* c,
                            const vf* factor = nullptr) {
  product_of<kMaskVectors, Layout, Mode>(a, rows, k, b, factor, c, {ld, kPanel, kPanel});
}

/// c += a . b for rows of `width` columns, a multiple of kWidth, that lie ld floats apart in b and c.
template <Left Layout>
LN_INLINE void row_product(const float* a, int64_t lda, int64_t rows, int64_t k, const float* b, float* c, int64_t ld,
                           int64_t width) {
  int64_t at = 0;
  for (; at + kPanel <= width; at += kPanel)
    product_of<kPanelVectors, Layout, Sum::kAdd>(a, rows, k, b + at, nullptr, c + at, {lda, ld, ld});
  for (; at < width; at += kWidth) product_of<1, Layout, Sum::kAdd>(a, rows, k, b + at, nullptr, c + at, {lda, ld, ld});
}

// ---- moving rows in and out of panels -------------------------------------------------------------------------------

/// panel[c * kPanel + i] = factor * x[i * ld + c] for i < count <= kPanel, 0 for the lanes after them; c < width.
[[maybe_unused]] static void load_panel(const float* x, int64_t ld, int64_t count, int64_t width, float factor,
                                        float* panel) {
  for (int64_t i = 0; i < kPanel; i += kWidth) {
    for (int64_t c = 0; c < width; c += kWidth) {
      vf square[LN_WIDTH];
#pragma GCC unroll 16
      for (int r = 0; r < LN_WIDTH; ++r)
        square[r] = i + r < count ? load_some(x + (i + r) * ld + c, width - c) * factor : (vf){};
      transpose(square);
#pragma GCC unroll 16
      for (int r = 0; r < LN_WIDTH; ++r) {
        if (c + r < width) store(panel + (c + r) * kPanel + i, square[r]);
      }
    }
  }
}

/// x[i * ld + c] = panel[c * kPanel + i] * factor[i] for i < count, c < width.
[[maybe_unused]] static void store_panel(const float* panel, int64_t count, int64_t width, const vf* factor, float* x,
                                         int64_t ld) {
  for (int64_t i = 0; i < count; i += kWidth) {
    for (int64_t c = 0; c < width; c += kWidth) {
      vf square[LN_WIDTH];
#pragma GCC unroll 16
      for (int r = 0; r < LN_WIDTH; ++r)
        square[r] = c + r < width ? load(panel + (c + r) * kPanel + i) * factor[i / kWidth] : (vf){};
      transpose(square);
#pragma GCC unroll 16
      for (int r = 0; r < LN_WIDTH; ++r) {
        if (i + r < count) store_some(x + (i + r) * ld + c, square[r], width - c);
      }
    }
  }
}

/// rows[i * rows_ld + c] = factor * x[i * ld + c], and 0 up to a multiple of kWidth. Rows of one head lie far apart,
/// often a multiple of 4096 bytes, and would compete for few lines of the cache.
[[maybe_unused]] static void copy_rows(const float* x, int64_t ld, int64_t count, int64_t width, float factor,
                                       float* rows, int64_t rows_ld) {
  for (int64_t i = 0; i < count; ++i, x += ld, rows += rows_ld) {
    for (int64_t c = 0; c < width; c += kWidth) store(rows + c, load_some(x + c, width - c) * factor);
  }
}

/// x[i * ld + c] = factor * rows[i * rows_ld + c]
[[maybe_unused]] static void store_rows(const float* rows, int64_t rows_ld, int64_t count, int64_t width, float factor,
                                        float* x, int64_t ld) {
  for (int64_t i = 0; i < count; ++i, x += ld, rows += rows_ld) {
    for (int64_t c = 0; c < width; c += kWidth) store_some(x + c, load(rows + c) * factor, width - c);
  }
}

/// A distance of rows for copy_rows: whole cache lines, an odd number of them, so that a column's elements spread over
/// the sets of the cache.
LN_INLINE int64_t row_floats(int64_t width) { return ((width + 15) / 16 | 1) * 16; }

/// Rows that copy_rows will read next. Their strides defeat the processor's own guesses, so they are asked for line by
/// line while the tile at hand is computed.
struct ComingRows {
  static constexpr int64_t kLine = 16;
  const float* rows[3];  // NULL from the first one that is not used
  int64_t ld, count, width;

  /// One row's share of lane `lane` of a tile of `lanes` lanes: each line of the row is asked for at one of them.
  inline __attribute__((always_inline)) void fetch(int64_t row, int64_t lane, int64_t lanes) const {
    if (lane % kLine != 0 || row >= count) return;
    for (int64_t c = lane; c < width; c += lanes) {
      for (int i = 0; i < 3 && rows[i] != nullptr; ++i) __builtin_prefetch(rows[i] + row * ld + c);
    }
  }
};

LN_INLINE int64_t whole_registers(int64_t width) { return (width + kWidth - 1) / kWidth * kWidth; }

LN_INLINE vi lane_numbers() {
  vi v;
  for (int i = 0; i < LN_WIDTH; ++i) v[i] = i;
  return v;
}

}  // namespace ln::cpu::LN_TIER
