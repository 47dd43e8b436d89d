// AdamW with moments in 8 bits, on ranges of blocks, one table per SIMD tier.
#pragma once

#include <cstdint>

#include "adamw.hpp"
#include "lora_native.h"
#include "tiers.hpp"

namespace ln::cpu {

/// Elements that share a scale.
constexpr int64_t kMomentBlock = 256;

struct Adamw8bitKernels {
  /// Blocks [first, last) of args.
  void (*step)(const ln_adamw_8bit_args& args, int64_t first, int64_t last, const AdamwScalars& scalars);
};

LN_TIERS(Adamw8bitKernels, adamw_8bit_kernels)

}  // namespace ln::cpu
