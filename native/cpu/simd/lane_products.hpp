// Small products whose right-hand side lies in panels of kPanel lanes: c[rows, kPanel] (+)= a[rows, k] . b[k, kPanel].
//
// Attention puts queries (or keys, for their gradients) into the lanes. Then scores, softmax and the weighted sum need
// no horizontal operation, keys and values are read as they lie, and any head_dim works without a tail.
#pragma once

#include "math.hpp"
#include "rows.hpp"
#include "transpose.hpp"

namespace ln::cpu::LN_TIER {

// Accumulators, one row of b and one broadcast of a must fit the register file (32 registers in AVX-512 and
// NEON, 16 elsewhere).
#if LN_WIDTH == 16
constexpr int kPanelVectors = 2, kProductRows = 12;
#elif defined(__aarch64__)
constexpr int kPanelVectors = 4, kProductRows = 6;
#else
constexpr int kPanelVectors = 2, kProductRows = 6;
#endif
constexpr int64_t kPanel = kPanelVectors * LN_WIDTH;

enum class Sum { kSet, kAdd, kScaleAndAdd };

/// Where element (row, k) of the left-hand side lies.
enum class Left { kRows, kColumns };  // data[row * ld + k], data[k * ld + row]

template <int R, Left Layout, Sum Mode>
LN_INLINE void product_rows(const float* a, int64_t ld, int64_t k, const float* b, const vf* factor, float* c) {
  vf total[R][kPanelVectors];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) {
      total[r][v] = Mode == Sum::kSet ? (vf){} : load(c + r * kPanel + v * kWidth);
      if constexpr (Mode == Sum::kScaleAndAdd) total[r][v] *= factor[v];
    }
  }
  for (int64_t p = 0; p < k; ++p) {
    vf y[kPanelVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) y[v] = load(b + p * kPanel + v * kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const vf x = broadcast(Layout == Left::kRows ? a[r * ld + p] : a[p * ld + r]);
#pragma GCC unroll 4
      for (int v = 0; v < kPanelVectors; ++v) total[r][v] = fma(x, y[v], total[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) store(c + r * kPanel + v * kWidth, total[r][v]);
  }
}

/// Rows from `row` on, R at a time, then fewer.
template <int R, Left Layout, Sum Mode>
LN_INLINE void product_from(const float* a, int64_t ld, int64_t row, int64_t rows, int64_t k, const float* b,
                            const vf* factor, float* c) {
  for (; row + R <= rows; row += R) {
    product_rows<R, Layout, Mode>(a + (Layout == Left::kRows ? row * ld : row), ld, k, b, factor, c + row * kPanel);
  }
  if constexpr (R > 1) product_from<(R > 4 ? 4 : R / 2), Layout, Mode>(a, ld, row, rows, k, b, factor, c);
}

/// c[rows, kPanel] = (or +=, or = factor * c +) a . b; factor has one entry per lane.
template <Left Layout, Sum Mode>
void product(const float* a, int64_t ld, int64_t rows, int64_t k, const float* b, float* c,
             const vf* factor = nullptr) {
  product_from<kProductRows, Layout, Mode>(a, ld, 0, rows, k, b, factor, c);
}

// ---- moving rows in and out of panels -------------------------------------------------------------------------------

/// panel[c * kPanel + i] = factor * x[i * ld + c] for i < count <= kPanel, 0 for the lanes after them; c < width.
static void load_panel(const float* x, int64_t ld, int64_t count, int64_t width, float factor, float* panel) {
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
static void store_panel(const float* panel, int64_t count, int64_t width, const vf* factor, float* x, int64_t ld) {
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

/// Rows of one head lie far apart, often a multiple of 4096 bytes, and would compete for few lines of the cache.
static void copy_rows(const float* x, int64_t ld, int64_t count, int64_t width, float* rows) {
  for (int64_t i = 0; i < count; ++i, x += ld, rows += width) {
    int64_t c = 0;
    for (; c + kWidth <= width; c += kWidth) store(rows + c, load(x + c));
    for (; c < width; ++c) rows[c] = x[c];
  }
}

LN_INLINE vi lane_numbers() {
  vi v;
  for (int i = 0; i < LN_WIDTH; ++i) v[i] = i;
  return v;
}

}  // namespace ln::cpu::LN_TIER
