// Kernels of products of a few rows: b is read as it lies in memory.
#pragma once

#include "matmul_reader.hpp"
#include "rows.hpp"

namespace ln::cpu::LN_TIER {

// Rows of a that share one reading of b; columns of b that are read side by side.
#if LN_WIDTH == 16
constexpr int kDirectGroup = 4;
#else
constexpr int kDirectGroup = 2;
#endif
constexpr int kDotColumns = 4;

// Lines of b that pass a tile of axpy_rows; the rows and registers of columns of such a tile, with a register for each
// of b's and one for a factor; how many lines ahead memory is asked.
constexpr int64_t kAxpyLines = 32, kAxpyAhead = 8;
constexpr int kAxpyVectors = 8;
#if LN_WIDTH == 16 || defined(__aarch64__)
constexpr int kAxpyGroup = 8, kAxpyTotals = 24;
#else
constexpr int kAxpyGroup = 4, kAxpyTotals = 8;
#endif

/// c[i, j] += scale * sum_k a[i, k] * b[j, k] for R rows and C columns (b stored [n,k]): lanes run over k.
template <int R, int C, typename Source>
LN_INLINE void dots(const float* a, int64_t lda, const Source& b, int64_t column, int64_t k, float scale, float* c,
                    int64_t ldc) {
  vf total[R][C] = {};
  int64_t p = 0;
  for (; p + kWidth <= k; p += kWidth) {
    vf y[C];
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) y[j] = b.read(column + j, p);
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      const vf x = load(a + i * lda + p);
#pragma GCC unroll 4
      for (int j = 0; j < C; ++j) total[i][j] = fma(x, y[j], total[i][j]);
    }
  }
  if (p < k) {
    for (int j = 0; j < C; ++j) {
      const vf y = b.read_part(column + j, p, k - p);
      for (int i = 0; i < R; ++i) total[i][j] = fma(load_part(a + i * lda + p, k - p), y, total[i][j]);
    }
  }
  for (int i = 0; i < R; ++i) {
    for (int j = 0; j < C; ++j) c[i * ldc + j] += scale * sum(total[i][j]);
  }
}

template <int R, typename Source>
void dot_rows(const float* a, int64_t lda, const Source& b, int64_t first, int64_t last, int64_t k, float scale,
              float* c, int64_t ldc) {
  int64_t j = first;
  for (; j + kDotColumns <= last; j += kDotColumns) dots<R, kDotColumns>(a, lda, b, j, k, scale, c + j, ldc);
  for (; j < last; ++j) dots<R, 1>(a, lda, b, j, k, scale, c + j, ldc);
}

/// c[i, j] += sum_p x[p][i] * b[line + p, j] for R rows and V registers of columns, the last one of `part` columns:
/// what is added to stays in registers while lines of b pass.
template <int R, int V, typename Source>
LN_INLINE void axpy_tile(const float (*x)[R], int64_t lines, const Source& b, int64_t line, int64_t j, int64_t part,
                         float* c, int64_t ldc) {
  vf total[R][V];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const float* const from = c + i * ldc + v * kWidth;
      total[i][v] = v < V - 1 ? load(from) : load_some(from, part);
    }
  }
  for (int64_t p = 0; p < lines; ++p) {
    vf y[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const int64_t at = j + v * kWidth;
      b.template prefetch<2>(line + p + kAxpyAhead, at);
      y[v] = v < V - 1 ? b.read(line + p, at) : b.read_some(line + p, at, part);
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const vf factor = broadcast(x[p][i]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) total[i][v] = fma(factor, y[v], total[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      float* const to = c + i * ldc + v * kWidth;
      if (v < V - 1) {
        store(to, total[i][v]);
      } else {
        store_some(to, total[i][v], part);
      }
    }
  }
}

/// c[i, j] += sum_k scale * a[i, k - first_k] * b[k, j] for R rows (b stored [k,n]), k in [first_k, last_k), at most
/// kAxpyLines of them: lanes run over columns.
template <int R, typename Source>
void axpy_rows(const float* a, int64_t row_step, int64_t k_step, const Source& b, int64_t first_k, int64_t last_k,
               int64_t first, int64_t last, float scale, float* c, int64_t ldc) {
  constexpr int V = kAxpyTotals / R < kAxpyVectors ? kAxpyTotals / R : kAxpyVectors;
  const int64_t lines = last_k - first_k;
  float x[kAxpyLines][R];
  for (int64_t p = 0; p < lines; ++p) {
    for (int i = 0; i < R; ++i) x[p][i] = scale * a[i * row_step + p * k_step];
  }
  int64_t j = first;
  for (; j + V * kWidth <= last; j += V * kWidth) axpy_tile<R, V>(x, lines, b, first_k, j, kWidth, c + j, ldc);
  for (; j < last; j += kWidth) axpy_tile<R, 1>(x, lines, b, first_k, j, last - j, c + j, ldc);
}

}  // namespace ln::cpu::LN_TIER
