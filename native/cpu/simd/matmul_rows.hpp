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

/// c[i, j] += sum_k scale * a[i, k - first_k] * b[k, j] for R rows (b stored [k,n]): lanes run over columns, four lines
/// of b at a time.
template <int R, typename Source>
void axpy_rows(const float* a, int64_t row_step, int64_t k_step, const Source& b, int64_t first_k, int64_t last_k,
               int64_t first, int64_t last, float scale, float* c, int64_t ldc) {
  for (int64_t p = first_k; p < last_k; p += 4) {
    const int64_t lines = last_k - p < 4 ? last_k - p : 4;
    float x[R][4];
    for (int i = 0; i < R; ++i) {
      for (int64_t q = 0; q < lines; ++q) x[i][q] = scale * a[i * row_step + (p - first_k + q) * k_step];
    }
    int64_t j = first;
    if (lines == 4) {
      for (; j + kWidth <= last; j += kWidth) {
        vf y[4];
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) y[q] = b.read(p + q, j);
#pragma GCC unroll 4
        for (int i = 0; i < R; ++i) {
          vf total = load(c + i * ldc + j);
#pragma GCC unroll 4
          for (int q = 0; q < 4; ++q) total = fma(broadcast(x[i][q]), y[q], total);
          store(c + i * ldc + j, total);
        }
      }
    }
    for (; j < last; j += kWidth) {
      const int64_t count = last - j < kWidth ? last - j : kWidth;
      for (int i = 0; i < R; ++i) {
        float* target = c + i * ldc + j;
        vf total = count < kWidth ? load_part(target, count) : load(target);
        for (int64_t q = 0; q < lines; ++q) total = fma(broadcast(x[i][q]), b.read_some(p + q, j, count), total);
        if (count < kWidth) {
          store_part(target, total, count);
        } else {
          store(target, total);
        }
      }
    }
  }
}

}  // namespace ln::cpu::LN_TIER
