// Sums in float64, one table per SIMD tier.
#pragma once

#include <cstdint>

#include "tiers.hpp"

namespace ln::cpu {

/// Every tier adds element i to lane i % kLanes, then the lanes in rising order. Sums and squares of floats are taken
/// in float64, where a square is exact; so all tiers give the same bytes.
constexpr int64_t kLanes = 16;

struct ReductionKernels {
  double (*sum)(const float* x, int64_t n);
  double (*sum_of_squares)(const float* x, int64_t n);
};

LN_TIERS(ReductionKernels, reduction_kernels)

}  // namespace ln::cpu
