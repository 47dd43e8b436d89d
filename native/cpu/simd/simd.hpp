// Portable SIMD for the tiered sources: GCC/Clang vector types, as wide as the tier's registers.
//
// Included once per tier with LN_TIER (namespace) and LN_WIDTH (floats per register) defined by the build. Everything
// is static or in the tier's namespace (see tiers.hpp). Loads and stores never need alignment and never touch memory
// outside [p, p + count).
#pragma once

#include <stdint.h>
#include <string.h>

#include "lora_native.h"

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace ln::cpu::LN_TIER {

#define LN_INLINE static inline __attribute__((always_inline))

constexpr int64_t kWidth = LN_WIDTH;

typedef float vf __attribute__((vector_size(LN_WIDTH * 4)));
typedef int32_t vi __attribute__((vector_size(LN_WIDTH * 4)));
typedef uint32_t vu __attribute__((vector_size(LN_WIDTH * 4)));
typedef uint16_t vh __attribute__((vector_size(LN_WIDTH * 2)));

LN_INLINE vf broadcast(float x) { return x - (vf){}; }

LN_INLINE vf load(const float* p) {
  vf v;
  memcpy(&v, p, sizeof(v));
  return v;
}

LN_INLINE void store(float* p, vf v) { memcpy(p, &v, sizeof(v)); }

/// The first `count` floats (0 < count < kWidth), the rest 0.
LN_INLINE vf load_part(const float* p, int64_t count) {
#if LN_WIDTH == 16
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#else
  vf v = {};
  for (int64_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
#endif
}

LN_INLINE void store_part(float* p, vf v, int64_t count) {
#if LN_WIDTH == 16
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)v);
#else
  for (int64_t i = 0; i < count; ++i) p[i] = v[i];
#endif
}

/// a * b + c. One rounding where the tier has FMA (-ffp-contract=fast), two elsewhere.
LN_INLINE vf fma(vf a, vf b, vf c) { return a * b + c; }

LN_INLINE vf select(vi mask, vf yes, vf no) { return mask ? yes : no; }
// b where either is NaN: with the comparison in place this is one instruction on x86.
LN_INLINE vf max(vf a, vf b) { return a > b ? a : b; }
LN_INLINE vf min(vf a, vf b) { return a < b ? a : b; }

// ---- across lanes
// -----------------------------------------------------------------------------------------------------------

template <int... I>
struct Lanes {};
template <int N, int... I>
struct LanesTo : LanesTo<N - 1, N - 1, I...> {};
template <int... I>
struct LanesTo<0, I...> {
  typedef Lanes<I...> type;
};

/// The lanes Index... of a followed by b.
template <int... Index>
LN_INLINE vf choose_lanes(vf a, vf b) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(a, b, Index...);
#else
  return __builtin_shuffle(a, b, (vi){Index...});
#endif
}

/// Lane i of the result is lane i + Half of v, for i < Half.
template <int Half, int... I>
LN_INLINE vf upper_half(vf v, Lanes<I...>) {
  return choose_lanes<(I + Half) % LN_WIDTH...>(v, v);
}

template <int Half = LN_WIDTH / 2, typename Combine>
LN_INLINE float combine_lanes(vf v, const Combine& combine) {
  v = combine(v, upper_half<Half>(v, typename LanesTo<LN_WIDTH>::type()));
  if constexpr (Half > 1) return combine_lanes<Half / 2>(v, combine);
  return v[0];
}

/// Sum of the lanes in a fixed order: halves added pairwise.
LN_INLINE float sum(vf v) {
  return combine_lanes(v, [](vf a, vf b) { return a + b; });
}

LN_INLINE float max_lane(vf v) {
  return combine_lanes(v, [](vf a, vf b) { return max(a, b); });
}

// ---- 16-bit formats
// --------------------------------------------------------------------------------------------------------

LN_INLINE float bf16_to_float(uint16_t h) {
  const uint32_t bits = (uint32_t)h << 16;
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

LN_INLINE float f16_to_float(uint16_t h) {
  const uint32_t magnitude = (uint32_t)(h & 0x7fffu) << 13;
  // Rescaling by 2^112 moves the exponent bias and makes denormals normal; infinities and NaN need an all-ones
  // exponent.
  uint32_t bits = __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, magnitude) * 0x1p112f);
  if ((h & 0x7c00u) == 0x7c00u) bits |= 0x7f800000u;
  return __builtin_bit_cast(float, bits | (uint32_t)(h & 0x8000u) << 16);
}

LN_INLINE vf widen_bf16(vh h) { return (vf)(__builtin_convertvector(h, vu) << 16); }

LN_INLINE vf widen_f16(vh h) {
#if LN_WIDTH == 16
  return (vf)_mm512_maskz_cvtph_ps((__mmask16)0xffff, (__m256i)h);  // unmasked, GCC 12 warns of its own header
#elif LN_WIDTH == 8 && defined(__F16C__)
  return (vf)_mm256_cvtph_ps((__m128i)h);
#else
  const vu wide = __builtin_convertvector(h, vu);  // as f16_to_float
  const vu bits = (vu)((vf)((wide & 0x7fffu) << 13) * broadcast(0x1p112f));
  const vu special = (vu)((wide & 0x7c00u) == 0x7c00u) & 0x7f800000u;
  return (vf)(bits | special | ((wide & 0x8000u) << 16));
#endif
}

/// Elements [offset, offset + kWidth) of an array of any ln_dtype as floats.
template <int Dtype>
LN_INLINE vf load_as(const void* base, int64_t offset) {
  if constexpr (Dtype == LN_F32) {
    return load((const float*)base + offset);
  } else {
    vh h;
    memcpy(&h, (const uint16_t*)base + offset, sizeof(h));
    return Dtype == LN_BF16 ? widen_bf16(h) : widen_f16(h);
  }
}

template <int Dtype>
LN_INLINE float element_as(const void* base, int64_t offset) {
  if constexpr (Dtype == LN_F32) return ((const float*)base)[offset];
  const uint16_t h = ((const uint16_t*)base)[offset];
  return Dtype == LN_BF16 ? bf16_to_float(h) : f16_to_float(h);
}

template <int Dtype>
LN_INLINE vf load_part_as(const void* base, int64_t offset, int64_t count) {
  if constexpr (Dtype == LN_F32) {
    return load_part((const float*)base + offset, count);
  } else {
    vh h = {};
    memcpy(&h, (const uint16_t*)base + offset, (size_t)count * 2);
    return Dtype == LN_BF16 ? widen_bf16(h) : widen_f16(h);
  }
}

}  // namespace ln::cpu::LN_TIER
