// Embedding look-up and its gradient, one table per SIMD tier.
#pragma once

#include <stdint.h>

#include "tiers.hpp"

namespace ln::cpu {

struct EmbeddingKernels {
  void (*forward)(const void* table, int32_t table_dtype, const int32_t* ids, float* y, int64_t tokens, int64_t width);
  /// Columns [first, last) of grad_table.
  void (*backward)(const float* dy, const int32_t* ids, float* grad_table, int64_t tokens, int64_t width, int64_t first,
                   int64_t last);
};

LN_TIERS(EmbeddingKernels, embedding_kernels)

}  // namespace ln::cpu
