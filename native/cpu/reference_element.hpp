// Elements of arrays of any ln_dtype, for the plain scalar versions.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "lora_native.h"
#include "quantized.hpp"

namespace ln::cpu::reference {

/// float16: sign, 5 bits of exponent (bias 15), 10 bits of fraction.
inline float f16_value(uint16_t bits) {
  const float sign = (bits & 0x8000u) != 0 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return exponent == 0 ? sign * std::ldexp(static_cast<float>(fraction), -24)
                       : sign * std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
}

/// What the codes of a block are multiplied with.
inline float scale_of_block(const ln_quantized& weight, int64_t b) {
  if (weight.nested_absmax == nullptr) return static_cast<const float*>(weight.absmax)[b];
  const int code = static_cast<const uint8_t*>(weight.absmax)[b];
  return weight.nested_code[code] * weight.nested_absmax[b / weight.nested_block] + weight.offset;
}

inline float quantized_at(const ln_quantized& weight, int32_t type, int64_t i) {
  const int code = weight.codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15;
  return (type == LN_NF4 ? kNf4Values : kFp4Values)[code] * scale_of_block(weight, i / weight.block);
}

inline float weight_at(const void* weights, int32_t dtype, int64_t i) {
  if (dtype == LN_NF4 || dtype == LN_FP4) return quantized_at(*static_cast<const ln_quantized*>(weights), dtype, i);
  if (dtype == LN_F32) return static_cast<const float*>(weights)[i];
  const uint16_t bits = static_cast<const uint16_t*>(weights)[i];
  return dtype == LN_BF16 ? std::bit_cast<float>(static_cast<uint32_t>(bits) << 16) : f16_value(bits);
}

}  // namespace ln::cpu::reference
