// RMSNorm on rows, one table per SIMD tier.
#pragma once

#include <stdint.h>

#include "lora_native.h"
#include "tiers.hpp"

namespace ln::cpu {

struct NormKernels {
  /// Rows [first, last).
  void (*forward)(const ln_rmsnorm_fwd_args& args, int64_t first, int64_t last);
  /// dx of rows [first, last).
  void (*backward)(const ln_rmsnorm_bwd_args& args, int64_t first, int64_t last);
  /// Columns [first, last) of grad_weight, over all rows.
  void (*weight_gradient)(const ln_rmsnorm_bwd_args& args, int64_t first, int64_t last);
};

LN_TIERS(NormKernels, norm_kernels)

}  // namespace ln::cpu
