// Elements of arrays of any ln_dtype, for the plain scalar versions.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "lora_native.h"

namespace ln::cpu::reference {

/// float16: sign, 5 bits of exponent (bias 15), 10 bits of fraction.
inline float f16_value(uint16_t bits) {
  const float sign = (bits & 0x8000u) != 0 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return exponent == 0 ? sign * std::ldexp(static_cast<float>(fraction), -24)
                       : sign * std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
}

inline float weight_at(const void* weights, int32_t dtype, int64_t i) {
  if (dtype == LN_F32) return static_cast<const float*>(weights)[i];
  const uint16_t bits = static_cast<const uint16_t*>(weights)[i];
  return dtype == LN_BF16 ? std::bit_cast<float>(static_cast<uint32_t>(bits) << 16) : f16_value(bits);
}

}  // namespace ln::cpu::reference
