// Storing floats as any format whose elements lie side by side: rounded to nearest even, NaN stays NaN.
#pragma once

#include "simd.hpp"

namespace ln::cpu::LN_TIER {

LN_INLINE vu choose(vi mask, vu yes, vu no) { return ((vu)mask & yes) | (~(vu)mask & no); }

LN_INLINE vh narrow_bf16(vf x) {
  const vu bits = (vu)x;
  const vu rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const vu quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector(choose(x == x, rounded, quiet), vh);
}

LN_INLINE vh narrow_f16(vf x) {
#if LN_WIDTH == 16
  // Unmasked, GCC 12 warns of its own header.
  return (vh)_mm512_maskz_cvtps_ph((__mmask16)0xffff, (__m512)x, _MM_FROUND_TO_NEAREST_INT);
#elif LN_WIDTH == 8 && defined(__F16C__)
  return (vh)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT);
#else
  const vu sign = (vu)x & 0x80000000u;
  const vu magnitude = (vu)x ^ sign;
  // Normal results: move the exponent bias from 127 to 15, round 13 bits away; up to 2^16 this carries into infinity.
  const vu normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Below 2^-14 the result counts units of 2^-24, which is what adding 0.5 rounds a float to.
  const vu denormal = (vu)((vf)magnitude + broadcast(0.5f)) - 0x3f000000u;
  vu bits = choose((vf)magnitude < broadcast(0x1p-14f), denormal, normal);
  bits = choose((vf)magnitude >= broadcast(65536.0f), (vu){} + 0x7c00u, bits);
  bits = choose(x == x, bits, (vu){} + 0x7e00u);
  return __builtin_convertvector(bits | (sign >> 16), vh);
#endif
}

/// The first `count` lanes to elements [offset, offset + count).
template <int Dtype>
LN_INLINE void store_as(void* base, int64_t offset, vf x, int64_t count) {
  if constexpr (Dtype == LN_F32) {
    if (count == kWidth) {
      store((float*)base + offset, x);
    } else {
      store_part((float*)base + offset, x, count);
    }
  } else {
    const vh h = Dtype == LN_BF16 ? narrow_bf16(x) : narrow_f16(x);
    memcpy((uint16_t*)base + offset, &h, (size_t)count * 2);
  }
}

}  // namespace ln::cpu::LN_TIER
