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
  /// result[c] += sum over all rows of x[r,c], for the columns from `first` to `last` of x [rows,columns].
  void (*column_sums)(const float* x, float* result, int64_t rows, int64_t columns, int64_t first, int64_t last);
};

LN_TIERS(ReductionKernels, reduction_kernels)

}  // namespace ln::cpu
