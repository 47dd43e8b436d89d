// Products of a few rows (generation, experts with few tokens): nothing is packed, b is streamed once, as it lies in
// memory.
#pragma once

#include "matmul_pack.hpp"

namespace ln::cpu::LN_TIER {

constexpr int64_t kDirectRows = 8;

// Rows of a that share one reading of b; columns of b that are read side by side.
#if LN_WIDTH == 16
constexpr int kDirectGroup = 4;
#else
constexpr int kDirectGroup = 2;
#endif
constexpr int kDotColumns = 4;
constexpr int64_t kDotPiece = 8, kAxpyLines = 32, kAxpyPiece = 1024;

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

/// The rows of c from `row` on, R at a time, then fewer; steps [first_k, last_k) of k, columns [first, last).
template <int R, typename Source>
void add_groups(const Term& term, const Source& b, int64_t row, int64_t rows, int64_t first_k, int64_t last_k,
                int64_t first, int64_t last, float* c, int64_t ldc) {
  const float* const a = (const float*)term.a.data;
  const int64_t row_step = term.a.transposed ? 1 : term.a.ld, k_step = term.a.transposed ? term.a.ld : 1;
  for (; row + R <= rows; row += R) {
    if (term.b.transposed) {
      dot_rows<R>(a + row * row_step, row_step, b, first, last, last_k, term.scale, c + row * ldc, ldc);
    } else {
      axpy_rows<R>(a + row * row_step + first_k * k_step, row_step, k_step, b, first_k, last_k, first, last, term.scale,
                   c + row * ldc, ldc);
    }
  }
  if constexpr (R > 1) add_groups<R / 2>(term, b, row, rows, first_k, last_k, first, last, c, ldc);
}

/// Takes b in pieces that stay in the caches while every group of rows uses them.
template <typename Source>
void add_term(const Term& term, const Source& b, int64_t m, int64_t first, int64_t last, float* c, int64_t ldc) {
  if (term.b.transposed) {
    for (int64_t j = first; j < last; j += kDotPiece) {
      add_groups<kDirectGroup>(term, b, 0, m, 0, term.k, j, j + kDotPiece < last ? j + kDotPiece : last, c, ldc);
    }
    return;
  }
  for (int64_t p = 0; p < term.k; p += kAxpyLines) {
    for (int64_t j = first; j < last; j += kAxpyPiece) {
      add_groups<kDirectGroup>(term, b, 0, m, p, p + kAxpyLines < term.k ? p + kAxpyLines : term.k, j,
                               j + kAxpyPiece < last ? j + kAxpyPiece : last, c, ldc);
    }
  }
}

/// The kernels read a as float32 along k, or along its rows where b lies along its columns too.
static bool takes_direct(const Product& product) {
  for (int t = 0; t < product.term_count; ++t) {
    const Term& term = product.terms[t];
    if (term.a.dtype != LN_F32 || (term.a.transposed && term.b.transposed)) return false;
  }
  return true;
}

static void direct(const Product& product, int64_t first, int64_t last) {
  if (product.bias == nullptr && product.beta == 0) {
    for (int64_t i = 0; i < product.m; ++i)
      memset(product.c + i * product.ldc + first, 0, (size_t)(last - first) * sizeof(float));
  } else {
    for (int64_t i = 0; i < product.m; ++i) {
      for (int64_t j = first; j < last; ++j) {
        float* c = product.c + i * product.ldc + j;
        const float start = product.beta == 0 ? 0.0f : product.beta * *c;
        *c = product.bias == nullptr         ? start
             : product.bias_dtype == LN_BF16 ? start + element_as<LN_BF16>(product.bias, j)
             : product.bias_dtype == LN_F16  ? start + element_as<LN_F16>(product.bias, j)
                                             : start + element_as<LN_F32>(product.bias, j);
      }
    }
  }
  for (int t = 0; t < product.term_count; ++t) {
    const Term& term = product.terms[t];
    with_reader(term.b, [&](const auto& b) { add_term(term, b, product.m, first, last, product.c, product.ldc); });
  }
}

}  // namespace ln::cpu::LN_TIER
