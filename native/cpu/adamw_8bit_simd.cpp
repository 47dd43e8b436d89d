#include "../abi/dynamic_codes.hpp"
#include "adamw_8bit.hpp"
#include "simd/adamw_update.hpp"
#include "simd/rows.hpp"

namespace ln::cpu::LN_TIER {

namespace {

constexpr float kSmallestScale = 1e-38f;

/// Values by code.
struct SignedValues {
  float of[256] = {};
  constexpr SignedValues() {
    for (int k = 0; k <= kSignedZero; ++k) of[kSignedZero - k] = -kSignedCodes.value[k];
    for (int k = 0; k < 129; ++k) of[kSignedZero + k] = kSignedCodes.value[k];
  }
};
constexpr SignedValues kSignedValues;

/// See adamw_8bit_reference.cpp; r from 0 to 1, a little more counts as 1.
template <int kCount>
LN_INLINE int nearest(const DynamicCodes<kCount>& codes, int first, float r) {
  const float inside = r < 1 ? r : 1;
  int32_t bits;
  memcpy(&bits, &inside, sizeof(bits));
  const int cell = (bits >> 16) - kFirstDynamicCell;
  const int k = codes.start[cell < 0 ? 0 : cell];
  const float middle = codes.middle[k];
  return k + ((inside > middle) | ((inside == middle) & (first + k)));
}

LN_INLINE int signed_code(float r) {
  const int k = nearest(kSignedCodes, kSignedZero, __builtin_fabsf(r));
  const int below = k < 1 ? 1 : k > kSignedZero ? kSignedZero : k;
  return r < 0 ? kSignedZero - below : kSignedZero + k;
}

/// The largest magnitude of a block; what it is filled up with is 0.
LN_INLINE float largest_of(const float* x) {
  vf largest = {};
  for (int64_t i = 0; i < kMomentBlock; i += kWidth) {
    const vf value = (vf)((vi)load(x + i) & 0x7fffffff);
    largest = value > largest ? value : largest;
  }
  float result = 0;
  for (int i = 0; i < kWidth; ++i) result = largest[i] > result ? largest[i] : result;
  return result;
}

void step(const ln_adamw_8bit_args& args, int64_t first, int64_t last, const AdamwScalars& scalars) {
  const AdamwScalars s = scalars;
  for (int64_t b = first; b < last; ++b) {
    const int64_t start = b * kMomentBlock;
    const int64_t count = args.n - start < kMomentBlock ? args.n - start : kMomentBlock;
    float m[kMomentBlock] = {}, v[kMomentBlock] = {};
    uint8_t* first_moments = args.first_moments + start;
    uint8_t* second_moments = args.second_moments + start;
    for (int64_t i = 0; i < count; ++i) {
      m[i] = kSignedValues.of[first_moments[i]] * args.first_absmax[b];
      v[i] = kUnsignedCodes.value[second_moments[i]] * args.second_absmax[b];
    }
    float* p = args.parameters + start;
    const float* g = args.gradients + start;
    for (int64_t i = 0; i < count; i += kWidth) {
      const int64_t some = count - i;
      const Element before = {load_some(p + i, some), load(m + i), load(v + i)};
      const Element after = update(before, load_some(g + i, some), s);
      store_some(p + i, after.p, some);
      store_some(m + i, after.m, some);
      store_some(v + i, after.v, some);
    }
    const float largest_m = largest_of(m), largest_v = largest_of(v);
    args.first_absmax[b] = largest_m;
    args.second_absmax[b] = largest_v;
    const float scale_m = 1 / (largest_m > kSmallestScale ? largest_m : kSmallestScale);
    const float scale_v = 1 / (largest_v > kSmallestScale ? largest_v : kSmallestScale);
    for (int64_t i = 0; i < count; ++i) {
      first_moments[i] = (uint8_t)signed_code(m[i] * scale_m);
      second_moments[i] = (uint8_t)nearest(kUnsignedCodes, 0, v[i] * scale_v);
    }
  }
}

}  // namespace

const Adamw8bitKernels& adamw_8bit_kernels() {
  static const Adamw8bitKernels kernels = {step};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
