// Transposing a square of registers.
#pragma once

#include "simd.hpp"

namespace ln::cpu::LN_TIER {

/// Swaps the off-diagonal D x D squares of the rows a and b.
template <int D, int... I>
LN_INLINE void swap_squares(vf& a, vf& b, Lanes<I...>) {
  const vf low = choose_lanes<((I / D) % 2 == 0 ? I : LN_WIDTH + I - D)...>(a, b);
  const vf high = choose_lanes<((I / D) % 2 == 0 ? I + D : LN_WIDTH + I)...>(a, b);
  a = low;
  b = high;
}

template <int D>
LN_INLINE void transpose_squares(vf (&x)[LN_WIDTH]) {
#pragma GCC unroll 16
  for (int i = 0; i < LN_WIDTH; ++i) {
    if ((i / D) % 2 == 0) swap_squares<D>(x[i], x[i + D], typename LanesTo<LN_WIDTH>::type());
  }
  if constexpr (D > 1) transpose_squares<D / 2>(x);
}

LN_INLINE void transpose(vf (&x)[LN_WIDTH]) { transpose_squares<LN_WIDTH / 2>(x); }

}  // namespace ln::cpu::LN_TIER
