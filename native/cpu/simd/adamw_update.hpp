// AdamW on registers.
#pragma once

#include "../adamw.hpp"
#include "simd.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace ln::cpu::LN_TIER {

LN_INLINE vf square_root(vf x) {
#if LN_WIDTH == 16
  // Unmasked, GCC 12 warns of its own header.
  return (vf)_mm512_maskz_sqrt_ps((__mmask16)0xffff, (__m512)x);
#elif LN_WIDTH == 8 && defined(__AVX2__)
  return (vf)_mm256_sqrt_ps((__m256)x);
#elif LN_WIDTH == 4 && defined(__SSE2__)
  return (vf)_mm_sqrt_ps((__m128)x);
#elif LN_WIDTH == 4 && defined(__aarch64__)
  return (vf)vsqrtq_f32((float32x4_t)x);
#else
  for (int i = 0; i < LN_WIDTH; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

struct Element {
  vf p, m, v;
};

/// See adamw_reference.cpp.
LN_INLINE Element update(Element x, vf gradient, const AdamwScalars& s) {
  const vf g = gradient * s.gradient_scale;
  const float w = s.beta1_complement;
  x.m = w < 0.5f ? x.m + w * (g - x.m) : g - (g - x.m) * (1 - w);
  x.v = x.v * s.beta2 + s.beta2_complement * g * g;
  const vf denominator = square_root(x.v) / s.correction2_root + s.epsilon;
  x.p = x.p * s.decay - s.step_size * x.m / denominator;
  return x;
}

}  // namespace ln::cpu::LN_TIER
