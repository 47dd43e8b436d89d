// Matrix products: what a product is, and the kernels behind it, one table per SIMD tier.
//
// A product is c = beta * c + bias + sum over its terms of scale * a . b. Its terms are laid end to end along k, so
// that a LoRA up-projection is a few more columns of k of the same product and never a second pass over c.
//
// Products of many rows are packed: panels of `a` (tile_rows high) and of `b` (tile_columns wide) as float32, k-major,
// whatever the operands' format and orientation; one tile kernel multiplies two panels. Products of few rows take
// `direct`, which streams b once.
#pragma once

#include <stdint.h>

#include "tiers.hpp"

namespace ln::cpu {

/// Element (i, j) is data[i * ld + j], or data[j * ld + i] if transposed.
struct Matrix {
  const void* data;
  int64_t ld;
  int32_t dtype;
  int32_t transposed;
};

/// scale * a[m,k] . b[k,n]
struct Term {
  Matrix a;
  Matrix b;  // data NULL: of a product that shares the packed a with this one, and not of this one
  int64_t k;
  float scale;
};

/// c[m,n] = scale * (a . b) with the a of a term, which is packed once for both. The a of later terms may be c.
struct Side {
  Matrix b;
  float* c;
  int64_t ldc;
  int64_t n;
  float scale;
  int32_t term;
};

// Layers of one input, each with an adapter.
constexpr int32_t kMostSides = 4, kMostTerms = 2 * kMostSides;

struct Product {
  Term terms[kMostTerms];
  Side sides[kMostSides];
  int32_t term_count, side_count;
  int32_t bias_dtype;
  const void* bias;  // [n] or NULL
  float* c;          // [m,n], or [n,m] with transposed_c
  int64_t ldc;
  int64_t m, n;  // n may be 0 where there are sides
  float beta;    // 0: c is not read
  // One term whose a is transposed and b is not, both float32, and beta 1: c^T += a . b, for few rows.
  bool transposed_c;
};

/// Lines of memory that will be read soon: `left` of them, in runs of `run` adjacent ones, `gap` bytes from the end of
/// a run to the next one's start. Only data, as its users are in tiers.
struct ComingLines {
  static constexpr int64_t kLine = 64;
  const char* at;
  int64_t left, run, left_of_run, gap;
};

struct MatmulKernels {
  int64_t tile_rows;
  int64_t tile_columns;
  int64_t panel_stride;  // floats from one k to the next in a panel of a, at least tile_rows
  int64_t direct_rows;   // products of at most so many rows are candidates for `direct`

  /// panel[p * panel_stride + i] = scale * a[row + i, k + p] for i < rows <= tile_rows, p < count. a has m rows in all.
  void (*pack_a)(const Matrix& a, int64_t m, int64_t row, int64_t rows, int64_t k, int64_t count, float scale,
                 float* panel);

  /// Panels of tile_columns columns each, the next one panel_step floats on:
  /// panels[p * tile_columns + j] = b[k + p, column + j] for p < count, j < columns.
  void (*pack_b)(const Matrix& b, int64_t k, int64_t count, int64_t column, int64_t columns, float* panels,
                 int64_t panel_step);

  /// c[rows,columns] = beta * c + bias + panel_a . panel_b over `count` steps of k, then `more` steps whose a lies at
  /// panel_more; bias (or NULL) has tile_columns floats. Meanwhile it asks for at most `lines` of what is coming, for
  /// packing waits for memory and this leaves it idle.
  void (*tile)(int64_t count, const float* panel_a, int64_t more, const float* panel_more, const float* panel_b,
               const float* bias, float beta, float* c, int64_t ldc, int64_t rows, int64_t columns, ComingLines* coming,
               int64_t lines);

  /// Whether `direct` can do a product of direct_rows or fewer rows.
  bool (*takes_direct)(const Product& product);

  /// Columns [first, last) of the product; first is a multiple of tile_columns.
  void (*direct)(const Product& product, int64_t first, int64_t last);
};

LN_TIERS(MatmulKernels, matmul_kernels)

}  // namespace ln::cpu
