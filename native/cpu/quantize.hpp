// Quantising to 4 bits and back, one table per SIMD tier; rules in lora_native.h.
#pragma once

#include <stdint.h>

#include "lora_native.h"
#include "tiers.hpp"

namespace ln::cpu {

struct QuantizeKernels {
  /// Blocks [first, last) of an array of n elements. Returns the number of the first element that is not finite, n if
  /// there is none; then their codes and absmax are written.
  int64_t (*quantize)(const void* src, int32_t src_dtype, int64_t n, int32_t type, int64_t block, int64_t first,
                      int64_t last, uint8_t* codes, float* absmax);

  /// dst[i] = element first + i for i < count.
  void (*dequantize)(const ln_quantized& weight, int32_t type, int64_t first, int64_t count, void* dst,
                     int32_t dst_dtype);
};

LN_TIERS(QuantizeKernels, quantize_kernels)

}  // namespace ln::cpu
