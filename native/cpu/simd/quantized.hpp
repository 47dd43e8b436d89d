// 4-bit weights in the tiered sources: scales, and elements as they lie.
#pragma once

#include "../quantized.hpp"
#include "narrow.hpp"

namespace ln::cpu::LN_TIER {

/// Keeps the compiler from fusing the product x into a sum: the format rounds both.
LN_INLINE float rounded(float x) {
#if defined(__x86_64__)
  asm("" : "+x"(x));
#elif defined(__aarch64__)
  asm("" : "+w"(x));
#else
  asm("" : "+m"(x));
#endif
  return x;
}

/// What the codes of block b are multiplied with.
LN_INLINE float block_scale(const ln_quantized& weight, int64_t b) {
  if (weight.nested_absmax == nullptr) return ((const float*)weight.absmax)[b];
  const uint8_t code = ((const uint8_t*)weight.absmax)[b];
  return rounded(weight.nested_code[code] * weight.nested_absmax[b / weight.nested_block]) + weight.offset;
}

template <int Type>
LN_INLINE float quantized_element(const ln_quantized& weight, int64_t i) {
  const int code = weight.codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15;
  return (Type == LN_NF4 ? kNf4Values : kFp4Values)[code] * block_scale(weight, i / weight.block);
}

/// dst[i] = element first + i for i < count.
template <int Type, int Dtype>
void dequantize_to(const ln_quantized& weight, int64_t first, int64_t count, void* dst) {
  for (int64_t i = 0; i < count; i += kWidth) {
    const int64_t lanes = count - i < kWidth ? count - i : kWidth;
    vf x = {};
    for (int64_t lane = 0; lane < lanes; ++lane) x[lane] = quantized_element<Type>(weight, first + i + lane);
    store_as<Dtype>(dst, i, x, lanes);
  }
}

}  // namespace ln::cpu::LN_TIER
