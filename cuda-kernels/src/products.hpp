// Dense products as ln_matmul and the linear layers need them, on the ways that products.cu describes.
#pragma once

#include "cuda_backend.hpp"
#include "operand.cuh"

namespace ln::cuda {

/// c[i,j] = alpha * left . right + extra_scale * extra_left . extra_right + beta * c + bias[j]; c is not read with
/// beta 0. Operands are what op() names in ln_matmul_args: left [m,k], right [k,n], whatever way they are stored.
struct Product {
  Operand left, right;
  int64_t m, n, k;
  float alpha;
  /// A second product added to the first, with operands of float32; extra_k 0: none.
  Operand extra_left, extra_right;
  int64_t extra_k;
  float extra_scale;

  const void* bias;  // or NULL
  int32_t bias_dtype;
  float beta;
  float* c;
  int64_t row_stride, column_stride;  // elements
  /// Whether cuBLAS may do it, in a context that has it. Not thin ones, which are bound by memory.
  bool dense;
};

/// A matrix stored [rows, columns]: its rows are lines (k is inner), or its columns are.
Operand by_rows(const void* data, int32_t dtype, int64_t rows, int64_t columns, int64_t ld);
Operand by_columns(const void* data, int32_t dtype, int64_t rows, int64_t columns, int64_t ld);

/// Scratch that multiply() needs; depends on sizes, types and flags of the product and on whether pointers are NULL.
int64_t product_scratch(const ln_context& context, const Product& product);
void multiply(const ln_context& context, const char* name, const Product& product, void* scratch);

/// target[stored_rows, target_ld] = the stored matrix as `dtype` (LN_BF16 or LN_F32), rounded once; the gap is 0.
void convert_matrix(const ln_context& context, const char* name, const void* data, int32_t data_dtype, int64_t rows,
                    int64_t columns, int64_t ld, void* target, int32_t dtype, int64_t target_ld);

/// The product for m <= kFewRows, without scratch; both operands have k inside. See product_rows.cu.
constexpr int64_t kFewRows = 8;
void multiply_few_rows(const ln_context& context, const char* name, const Product& product);

/// c through the strides; what is in the accumulators of a tile becomes the result.
struct ProductOutput {
  const void* bias;
  int32_t bias_dtype;
  float alpha, beta;
  float* c;
  int64_t row_stride, column_stride, m, n;

  __device__ __forceinline__ float result(int64_t j, float sum, const float* c_before) const {
    float value = alpha * sum;
    if (bias != nullptr) value += load_element(bias, bias_dtype, j);
    return beta == 0 ? value : value + beta * *c_before;
  }
  __device__ __forceinline__ void store(int64_t i, int64_t j, float sum) const {
    if (i >= m || j >= n) return;
    float* const to = c + i * row_stride + j * column_stride;
    *to = result(j, sum, to);
  }
  /// Elements j and j + 1 where column_stride is 1: a stride less, in registers that tiles need for their sums.
  __device__ __forceinline__ void store_two(int64_t i, int64_t j, float sum, float next) const {
    if (i >= m || j >= n) return;
    float* const to = c + i * row_stride + j;
    const float value = result(j, sum, to);
    if (j + 1 == n) {
      *to = value;
      return;
    }
    const float second = result(j + 1, next, to + 1);
    if ((reinterpret_cast<uint64_t>(to) & 7) == 0) {
      *reinterpret_cast<float2*>(to) = make_float2(value, second);
    } else {
      *to = value;
      to[1] = second;
    }
  }
};
inline ProductOutput output_of(const Product& p) {
  return {p.bias, p.bias_dtype, p.alpha, p.beta, p.c, p.row_stride, p.column_stride, p.m, p.n};
}

}  // namespace ln::cuda
