// Functions of the activations, accurate over the whole range of float32 and without overflow.
#pragma once

#include "simd.hpp"

namespace ln::cpu::LN_TIER {

LN_INLINE vf absolute(vf x) { return (vf)((vi)x & 0x7fffffff); }

/// 1 / (1 + e^-x) and its complement 1 / (1 + e^x), both with full relative precision.
struct Sigmoid {
  vf value, complement;
};

LN_INLINE Sigmoid sigmoid(vf x) {
  const vf small = exp(-absolute(x));
  const vf above = 1.0f / (1.0f + small), below = small * above;
  const vi positive = x > 0.0f;
  return {select(positive, above, below), select(positive, below, above)};
}

/// The normal distribution: P(N <= x) and its density at x.
struct Normal {
  vf probability, density;
};

/// erfc(z) = e^(-z^2) t q(t) with t = 1 / (1 + z / 2), z >= 0; q is a polynomial of degree 8 fitted for this file on z < 10.5,
/// where e^(-z^2) vanishes, with a relative error of 5e-8.
LN_INLINE Normal normal(vf x) {
  const vf bell = exp(x * x * -0.5f);
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
