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

/// The sums of a product that has column_stride 0: [slices, m, n] in scratch, to be added in order by the caller, who
/// writes the result; alpha, beta and bias are the caller's too. For m > kFewRows and n > 0.
struct Sums {
  const float* at;
  int64_t slices;
};
Sums multiply_into_sums(const ln_context& context, const char* name, const Product& product, void* scratch);

/// Whether multiply() would make a bfloat16 copy of the left operand, which is in float32.
bool copies_left(const ln_context& context, const Product& product);
/// Whether it would do so for the sake of its size, with the right operand in any type.
bool copies_both(const ln_context& context, const Product& product);
/// Where places in scratch start, and the elements of a row of copies: next multiples of 256 bytes and of 8.
int64_t scratch_place(int64_t bytes);
int64_t copy_ld(int64_t columns);

/// A stored matrix [rows, columns] brought into another type: target[target_rows, target_columns], rounded once, zeros
/// where there is nothing. target_columns and target_ld are multiples of 8.
struct Conversion {
  const void* data;
  int64_t rows, columns, ld;
  void* target;
  int64_t target_rows, target_columns, target_ld;
};
constexpr int kConversions = 4;
/// Up to kConversions matrices in one pass, all of `data_dtype`, all into `dtype` (LN_BF16 or LN_F32). Empty ones too.
void convert_matrices(const ln_context& context, const char* name, const Conversion* matrices, int count,
                      int32_t data_dtype, int32_t dtype);

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
