// Whole registers and the shorter last one of a row alike: `count` elements, up to kWidth.
#pragma once

#include "simd.hpp"

namespace ln::cpu::LN_TIER {

LN_INLINE vf load_some(const float* p, int64_t count) { return count >= kWidth ? load(p) : load_part(p, count); }

LN_INLINE void store_some(float* p, vf v, int64_t count) {
  if (count >= kWidth) {
    store(p, v);
  } else {
    store_part(p, v, count);
  }
}

template <int Dtype>
LN_INLINE vf load_some_as(const void* base, int64_t offset, int64_t count) {
  return count >= kWidth ? load_as<Dtype>(base, offset) : load_part_as<Dtype>(base, offset, count);
}

}  // namespace ln::cpu::LN_TIER
