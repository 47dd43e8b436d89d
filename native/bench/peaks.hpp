// What this machine can do at best: one table of probes per SIMD tier (see cpu/tiers.hpp).
#pragma once

#include <stdint.h>

#include "tiers.hpp"

namespace ln::cpu {

struct PeakProbes {
  /// Floating-point operations of one round of `fma_chains`.
  int64_t flops_per_round;
  /// Independent chains of multiply-adds in registers: nothing but the FMA units limits it.
  float (*fma_chains)(int64_t rounds);
  /// Sum of n floats: reads them.
  float (*read)(const float* x, int64_t n);
  /// y = x.
  void (*copy)(const float* x, float* y, int64_t n);
  /// z = x + 0.5 y.
  void (*triad)(const float* x, const float* y, float* z, int64_t n);
};

#if defined(LN_HAVE_X86_TIERS)
namespace avx2 {
const PeakProbes& peak_probes();
}
namespace avx512 {
const PeakProbes& peak_probes();
}
#endif
#if defined(LN_HAVE_NEON_TIER)
namespace neon {
const PeakProbes& peak_probes();
}
#endif
namespace generic {
const PeakProbes& peak_probes();
}

}  // namespace ln::cpu
