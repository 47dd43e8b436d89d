// Rotary position embedding of whole tokens, one table per SIMD tier.
#pragma once

#include <stdint.h>

#include "lora_native.h"
#include "tiers.hpp"

namespace ln::cpu {

struct RopeKernels {
  /// Tokens [first, last) of args.x.
  void (*rotate)(const ln_rope_args& args, int64_t first, int64_t last);
};

LN_TIERS(RopeKernels, rope_kernels)

}  // namespace ln::cpu
