// Cross entropy of one row of logits, one table per SIMD tier.
#pragma once

#include <cstdint>

#include "tiers.hpp"

namespace ln::cpu {

struct CrossEntropyKernels {
  /// log sum exp(logits) - logits[label]; with want_gradient logits become gradient_scale * (softmax - onehot).
  float (*row)(float* logits, int64_t vocabulary, int64_t label, float gradient_scale, bool want_gradient);
};

LN_TIERS(CrossEntropyKernels, cross_entropy_kernels)

}  // namespace ln::cpu
