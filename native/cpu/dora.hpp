// Weight-decomposed adapters: lengths of the rows of an adapted weight, and the scaling of columns by them. One table
// per SIMD tier.
#pragma once

#include <stdint.h>

#include "lora_native.h"
#include "tiers.hpp"

namespace ln::cpu {

/// weight + scale * lora_b . lora_a
struct AdaptedWeight {
  const void* weight;   // [out,in]
  const float* lora_a;  // [rank,in]
  const float* lora_b;  // [out,rank]
  int64_t out, in, rank;
  int32_t dtype;
  float scale;
};

struct DoraKernels {
  /// norms[o] of rows first <= o < last.
  void (*norms)(const AdaptedWeight& adapted, float* norms, int64_t first, int64_t last);
  /// Rows [first, last).
  void (*forward)(const ln_dora_fwd_args& args, int64_t first, int64_t last);
  /// dz of rows [first, last).
  void (*backward)(const ln_dora_bwd_args& args, int64_t first, int64_t last);
  /// Columns [first, last) of grad_magnitude, over all rows.
  void (*magnitude_gradient)(const ln_dora_bwd_args& args, int64_t first, int64_t last);
};

LN_TIERS(DoraKernels, dora_kernels)

}  // namespace ln::cpu
