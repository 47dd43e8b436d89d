// Dropout with the counter-based generator Philox-4x32-10 (Salmon et al. 2011), one table per SIMD tier.
#pragma once

#include <cstdint>

#include "tiers.hpp"

namespace ln::cpu {

struct DropoutKernels {
  /// The four words of each of the counters (block low, block high, stream low, stream high), block rising from
  /// `block`.
  void (*random_words)(uint64_t seed, uint64_t stream, uint64_t block, int64_t blocks, uint32_t* words);
  /// Elements [first, first + n) of a tensor, x and y pointing to element `first`, a multiple of 4. Element i is kept
  /// iff its random word is at least `threshold` (up to 2^32: nothing is kept) and then multiplied by `scale`.
  void (*dropout)(const float* x, float* y, int64_t first, int64_t n, uint64_t threshold, float scale, uint64_t seed,
                  uint64_t stream, bool accumulate);
};

LN_TIERS(DropoutKernels, dropout_kernels)

}  // namespace ln::cpu
