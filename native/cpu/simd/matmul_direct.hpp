// Products of a few rows (generation, experts with few tokens): nothing is packed, b is streamed once, as it lies in
// memory.
#pragma once

#include "matmul_quantized.hpp"
#include "matmul_rows.hpp"

namespace ln::cpu::LN_TIER {

constexpr int64_t kDirectRows = 8;

constexpr int64_t kDotPiece = 8, kAxpyPiece = 1024;

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
      add_groups<dot_group_of<Source>()>(term, b, 0, m, 0, term.k, j, j + kDotPiece < last ? j + kDotPiece : last, c,
                                         ldc);
    }
    return;
  }
  for (int64_t p = 0; p < term.k; p += kAxpyLines) {
    for (int64_t j = first; j < last; j += kAxpyPiece) {
      add_groups<axpy_group_of<Source>()>(term, b, 0, m, p, p + kAxpyLines < term.k ? p + kAxpyLines : term.k, j,
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
