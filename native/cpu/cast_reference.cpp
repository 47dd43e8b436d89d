#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "cast.hpp"
#include "lora_native.h"

namespace ln::cpu::reference {

namespace {

float from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x))
    return static_cast<uint16_t>(bits >> 16 | 0x40);  // quiet, so that a low payload does not become infinity
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// float16: sign, 5 bits of exponent (bias 15), 10 bits of mantissa.
float from_f16(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 0x3ff;
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa == 0 ? sign * std::numeric_limits<float>::infinity() : std::nanf("");
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  return sign * std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
}

uint16_t to_f16(float x) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return sign | 0x7e00;
  const float magnitude = std::fabs(x);
  if (magnitude >= 65520) return sign | 0x7c00;  // halfway between the largest number and 2^16
  const int exponent = magnitude == 0 ? -14 : std::max(std::ilogb(magnitude), -14);
  // A normal number has 1024 to 2048 units of 2^(exponent-10); 2048 carries into the exponent, as it should.
  const int units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  return static_cast<uint16_t>(sign | (((exponent + 14) << 10) + units));
}

float element(const void* src, int32_t dtype, int64_t i) {
  if (dtype == LN_F32) return static_cast<const float*>(src)[i];
  const uint16_t bits = static_cast<const uint16_t*>(src)[i];
  return dtype == LN_BF16 ? from_bf16(bits) : from_f16(bits);
}

void cast(const void* src, int32_t src_dtype, void* dst, int32_t dst_dtype, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float x = element(src, src_dtype, i);
    if (dst_dtype == LN_F32) {
      static_cast<float*>(dst)[i] = x;
    } else {
      static_cast<uint16_t*>(dst)[i] = dst_dtype == LN_BF16 ? to_bf16(x) : to_f16(x);
    }
  }
}

}  // namespace

const CastKernels& cast_kernels() {
  static const CastKernels kernels = {cast};
  return kernels;
}

}  // namespace ln::cpu::reference
