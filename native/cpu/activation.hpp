// Gated activations on ranges and sigmoid gates on rows, one table per SIMD tier.
#pragma once

#include <stdint.h>

#include "tiers.hpp"

namespace ln::cpu {

struct ActivationKernels {
  void (*gated_fwd)(int32_t activation, const float* gate, const float* up, float* y, int64_t n);
  void (*gated_bwd)(int32_t activation, const float* dy, const float* gate, const float* up, float* dgate, float* dup,
                    int64_t n);
  /// A row of n whose product had `score`: gate and up are replaced by their gradients of dy, which has no score yet,
  /// inner (or NULL, or dy) becomes score * f(gate) * up; returns the score's gradient, sum(dy * f(gate) * up).
  float (*scored_bwd)(int32_t activation, float score, const float* dy, float* gate, float* up, float* inner,
                      int64_t n);
  void (*sigmoid_gate_fwd)(const float* x, const float* gate, float* y, int64_t rows, int64_t width, bool accumulate);
  void (*sigmoid_gate_bwd)(const float* dy, const float* x, const float* gate, float* dx, float* dgate, int64_t rows,
                           int64_t width);
};

LN_TIERS(ActivationKernels, activation_kernels)

}  // namespace ln::cpu
