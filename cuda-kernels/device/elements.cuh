// Reading weights of any unquantised ln_dtype as float, writing floats as one.
#pragma once

#include "../simt/simt.hpp"
#include "lora_native.h"

namespace ln::cuda {

/// Element i of an array of `dtype` (LN_F32, LN_BF16 or LN_F16), exactly.
__device__ __forceinline__ float load_element(const void* array, int32_t dtype, int64_t i) {
  if (dtype == LN_F32) return static_cast<const float*>(array)[i];
  const uint16_t bits = static_cast<const uint16_t*>(array)[i];
  return dtype == LN_BF16 ? simt::bf16_to_float(bits) : simt::f16_to_float(bits);
}

/// Rounds to nearest even.
__device__ __forceinline__ void store_element(void* array, int32_t dtype, int64_t i, float x) {
  if (dtype == LN_F32) {
    static_cast<float*>(array)[i] = x;
  } else {
    static_cast<uint16_t*>(array)[i] = dtype == LN_BF16 ? simt::float_to_bf16(x) : simt::float_to_f16(x);
  }
}

}  // namespace ln::cuda
