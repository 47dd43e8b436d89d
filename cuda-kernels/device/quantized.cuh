// Reading 4-bit weights (ln_quantized, LN_NF4 or LN_FP4) exactly: value = table[code] * scale, one rounding; a nested
// scale is a rounded product, then a sum. The table of a type lies in shared memory: its 16 floats are in 16 banks, so
// that the different codes of a warp's lanes never wait for each other.
#pragma once

#include "../simt/simt.hpp"
#include "lora_native.h"

namespace ln::cuda {

/// By code; LN_NF4 first, then LN_FP4.
SIMT_CONSTANT float kCodeValues[32] = {-1.0f,
                                       -0.6961928009986877f,
                                       -0.5250730514526367f,
                                       -0.39491748809814453f,
                                       -0.28444138169288635f,
                                       -0.18477343022823334f,
                                       -0.09105003625154495f,
                                       0.0f,
                                       0.07958029955625534f,
                                       0.16093020141124725f,
                                       0.24611230194568634f,
                                       0.33791524171829224f,
                                       0.44070982933044434f,
                                       0.5626170039176941f,
                                       0.7229568362236023f,
                                       1.0f,
                                       0.0f,
                                       1.0f / 192,
                                       2.0f / 3,
                                       1.0f,
                                       1.0f / 3,
                                       0.5f,
                                       1.0f / 6,
                                       0.25f,
                                       -0.0f,
                                       -1.0f / 192,
                                       -2.0f / 3,
                                       -1.0f,
                                       -1.0f / 3,
                                       -0.5f,
                                       -1.0f / 6,
                                       -0.25f};

constexpr int kCodes = 16;

/// Fills `table`, kCodes floats of shared memory, for the whole block; a barrier must follow.
__device__ __forceinline__ void fill_code_table(float* table, int32_t type) {
  if (threadIdx.x < kCodes && threadIdx.y == 0)
    table[threadIdx.x] = kCodeValues[(type == LN_NF4 ? 0 : kCodes) + threadIdx.x];
}

/// An ln_quantized in registers.
struct QuantizedView {
  const uint8_t* codes;
  const void* absmax;
  const float* nested_absmax;
  const float* nested_code;
  int64_t elements;  // 0 where the descriptor cannot be read by
  float offset;
  int32_t block_shift, nested_shift;
};

__device__ __forceinline__ bool power_of_two(int64_t value, int64_t least, int64_t most) {
  return value >= least && value <= most && (value & (value - 1)) == 0;
}

/// `weight` and what it points to lie in device memory. A descriptor that the CPU library would refuse, or whose number
/// of elements is not `elements` where that is not 0, gives a view without elements.
__device__ __forceinline__ QuantizedView quantized_view(const void* weight, int64_t elements) {
  const ln_quantized& w = *static_cast<const ln_quantized*>(weight);
  const bool nested = w.nested_absmax != nullptr;
  const bool right = (elements == 0 || w.elements == elements) && w.elements > 0 && power_of_two(w.block, 32, 4096) &&
                     w.codes != nullptr && w.absmax != nullptr &&
                     (!nested || (w.nested_code != nullptr && power_of_two(w.nested_block, 1, 1 << 30)));
  return {w.codes,
          w.absmax,
          w.nested_absmax,
          w.nested_code,
          right ? w.elements : 0,
          w.offset,
          31 - __clz(static_cast<int>(w.block)),
          31 - __clz(static_cast<int>(nested ? w.nested_block : 1))};
}

/// What the codes of block b are multiplied with.
__device__ __forceinline__ float scale_of_block(const QuantizedView& view, int64_t b) {
  if (view.nested_absmax == nullptr) return static_cast<const float*>(view.absmax)[b];
  const unsigned code = static_cast<const uint8_t*>(view.absmax)[b];
  return __fadd_rn(__fmul_rn(view.nested_code[code], view.nested_absmax[b >> view.nested_shift]), view.offset);
}

/// The scale of element i.
__device__ __forceinline__ float scale_at(const QuantizedView& view, int64_t i) {
  return scale_of_block(view, i >> view.block_shift);
}

/// The code of element i.
__device__ __forceinline__ unsigned code_at(const QuantizedView& view, int64_t i) {
  return view.codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15u;
}

/// Element i.
__device__ __forceinline__ float quantized_at(const QuantizedView& view, const float* table, int64_t i) {
  return __fmul_rn(table[code_at(view, i)], scale_at(view, i));
}

/// Element i of a weight that few elements of are read of; the table is read from constant memory.
__device__ __forceinline__ float quantized_element(const ln_quantized& weight, int32_t type, int64_t i) {
  const int64_t b = i >> (__ffs(static_cast<int>(weight.block)) - 1);  // a power of two up to 4096
  const int code = weight.codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15;
  float scale;
  if (weight.nested_absmax == nullptr) {
    scale = static_cast<const float*>(weight.absmax)[b];
  } else {
    const float entry = weight.nested_code[static_cast<const uint8_t*>(weight.absmax)[b]];
    scale = __fadd_rn(__fmul_rn(entry, weight.nested_absmax[b / weight.nested_block]), weight.offset);
  }
  return __fmul_rn(kCodeValues[(type == LN_NF4 ? 0 : kCodes) + code], scale);
}

/// The eight elements, in their order, of four bytes of codes read as one little-endian word.
__device__ __forceinline__ void decode_word(const float* table, uint32_t word, float scale, float (&values)[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int shift = i / 2 * 8 + (i % 2 == 0 ? 4 : 0);
    values[i] = __fmul_rn(table[word >> shift & 15u], scale);
  }
}

}  // namespace ln::cuda
