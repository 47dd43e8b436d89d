// Weighted sums over the rows of a token's experts, one table per SIMD tier.
#pragma once

#include <cstdint>

#include "tiers.hpp"

namespace ln::cpu {

struct MoeKernels {
  /// Shapes as in ln_moe_combine_fwd for `tokens` tokens: rows_of_pairs, weights and y start at the first of them, x is
  /// whole.
  void (*combine_fwd)(const float* x, const int32_t* rows_of_pairs, const float* weights, float* y, int64_t tokens,
                      int64_t top_k, int64_t width, bool accumulate);
  /// Shapes as in ln_moe_combine_bwd for `tokens` tokens; x and dx are whole and may be the same.
  void (*combine_bwd)(const float* dy, const float* x, const int32_t* rows_of_pairs, const float* weights, float* dx,
                      float* dweights, int64_t tokens, int64_t top_k, int64_t width);
};

LN_TIERS(MoeKernels, moe_kernels)

}  // namespace ln::cpu
