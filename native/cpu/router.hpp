// Router of a mixture of experts on ranges of tokens, one table per SIMD tier.
#pragma once

#include <cstdint>

#include "tiers.hpp"

namespace ln::cpu {

struct RouterKernels {
  /// Shapes as in ln_router_fwd, for `tokens` rows. Experts are ranked by their logits (so that rounding in the
  /// exponential changes no choice), equal logits by their numbers, and NaN like -infinity: ids are always in range and
  /// distinct. probabilities may be logits; log_sum_exp [tokens] may be NULL.
  void (*forward)(const float* logits, float* probabilities, int32_t* ids, float* weights, float* log_sum_exp,
                  int64_t tokens, int64_t experts, int64_t top_k, bool renormalise);
  /// Shapes as in ln_router_bwd, for `tokens` rows. dprobabilities [experts] and log_sum_exp [tokens] may be NULL.
  void (*backward)(const float* probabilities, const int32_t* ids, const float* weights, const float* dweights,
                   const float* dprobabilities, const float* log_sum_exp, float z_scale, float* dlogits, int64_t tokens,
                   int64_t experts, int64_t top_k, bool renormalise);
};

LN_TIERS(RouterKernels, router_kernels)

}  // namespace ln::cpu
