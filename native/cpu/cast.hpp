// Conversion between float32, bfloat16 and float16, one table per SIMD tier.
#pragma once

#include <cstdint>

#include "tiers.hpp"

namespace ln::cpu {

struct CastKernels {
  /// Rounds to nearest even; too large becomes infinity; NaN stays NaN. Dtypes are ln_dtype.
  void (*cast)(const void* src, int32_t src_dtype, void* dst, int32_t dst_dtype, int64_t n);
};

LN_TIERS(CastKernels, cast_kernels)

}  // namespace ln::cpu
