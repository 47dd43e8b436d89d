// AdamW on ranges, one table per SIMD tier.
#pragma once

#include <cstdint>

#include "tiers.hpp"

namespace ln::cpu {

/// What is the same for all elements of a step: computed in float64, then rounded, as torch does.
struct AdamwScalars {
  float gradient_scale;
  float decay;             // 1 - learning_rate * weight_decay
  float beta1_complement;  // 1 - beta1
  float beta2;
  float beta2_complement;  // 1 - beta2
  float step_size;         // learning_rate / (1 - beta1^step)
  float correction2_root;  // sqrt(1 - beta2^step)
  float epsilon;
};

struct AdamwKernels {
  void (*step)(float* parameters, const float* gradients, float* first_moments, float* second_moments, int64_t n,
               const AdamwScalars& scalars);
};

LN_TIERS(AdamwKernels, adamw_kernels)

}  // namespace ln::cpu
