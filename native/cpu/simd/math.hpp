// Functions of the activations, accurate over the whole range of float32 and without overflow.
#pragma once

#include "simd.hpp"

namespace ln::cpu::LN_TIER {

LN_INLINE vf absolute(vf x) { return (vf)((vi)x & 0x7fffffff); }

/// e^x with a relative error below 2e-7 for -87 < x < 88, 0 below; for x <= 0, as in softmax: above 88 it is not
/// meaningful. NaN stays NaN. Adding `magic` rounds x / ln 2 to an integer n and leaves n + 127 in the low bits, where
/// 2^n has its exponent; e^(x - n ln 2) by a polynomial fitted for this file on |x - n ln 2| <= ln 2 / 2.
LN_INLINE vf exp_of_negative(vf x) {
  const vf magic = broadcast(12582912.0f + 127.0f);
  const vf shifted = fma(x, broadcast(1.44269504f), magic);
  const vf power = (vf)((vi)shifted << 23);
  const vf n = shifted - magic;
  vf r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  vf p = broadcast(0.00138436072f);
  p = fma(p, r, broadcast(0.00837419555f));
  p = fma(p, r, broadcast(0.0416680053f));
  p = fma(p, r, broadcast(0.166664302f));
  p = fma(p, r, broadcast(0.49999994f));
  p = fma(p, r, broadcast(1.0f));
  p = fma(p, r, broadcast(1.0f));
  return x < -87.0f ? (vf){} : p * power;
}

/// 1 / (1 + e^-x) and its complement 1 / (1 + e^x), both with full relative precision.
struct Sigmoid {
  vf value, complement;
};

LN_INLINE Sigmoid sigmoid(vf x) {
  const vf small = exp_of_negative(-absolute(x));
  const vf above = 1.0f / (1.0f + small), below = small * above;
  const vi positive = x > 0.0f;
  return {select(positive, above, below), select(positive, below, above)};
}

/// The normal distribution: P(N <= x) and its density at x.
struct Normal {
  vf probability, density;
};

/// erfc(z) = e^(-z^2) t q(t) with t = 1 / (1 + z / 2), z >= 0; q is a polynomial of degree 8 fitted for this file on z
/// < 10.5, where e^(-z^2) vanishes, with a relative error of 5e-8.
LN_INLINE Normal normal(vf x) {
  const vf bell = exp_of_negative(x * x * -0.5f);
  const vf t = 1.0f / (1.0f + absolute(x) * 0.353553391f);
  vf q = broadcast(-0.0591936435f);
  q = fma(q, t, broadcast(0.285184383f));
  q = fma(q, t, broadcast(-0.488464131f));
  q = fma(q, t, broadcast(0.279516291f));
  q = fma(q, t, broadcast(-0.0276259131f));
  q = fma(q, t, broadcast(0.203110917f));
  q = fma(q, t, broadcast(0.242996383f));
  q = fma(q, t, broadcast(0.282390095f));
  q = fma(q, t, broadcast(0.282085573f));
  const vf tail = 0.5f * bell * t * q;
  return {select(x > 0.0f, 1.0f - tail, tail), bell * 0.398942280f};
}

}  // namespace ln::cpu::LN_TIER
