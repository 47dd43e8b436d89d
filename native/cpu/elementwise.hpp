// Elementwise kernels on ranges, one table per SIMD tier.
#pragma once

#include <cstdint>

#include "tiers.hpp"

namespace ln::cpu {

struct ElementwiseKernels {
  void (*axpby)(float alpha, const float* x, float beta, float* y, int64_t n);
  void (*clamp_fwd)(float* x, int64_t n, float limit);
  void (*clamp_bwd)(const float* y, float* dy, int64_t n, float limit);
};

LN_TIERS(ElementwiseKernels, elementwise_kernels)

}  // namespace ln::cpu
