#include <algorithm>
#include <cmath>

#include "cast.hpp"
#include "quantize.hpp"
#include "reference_element.hpp"

namespace ln::cpu::reference {

namespace {

int nf4_code(float r) {
  int code = 0;
  for (float midpoint : kNf4Midpoints.of) code += midpoint < r;
  return code;
}

int fp4_code(float r, bool negative) {
  int code = 0;
  for (int i = 0; i < 7; ++i) {
    if (std::fabs(r) > kFp4Midpoints[i]) code = kFp4Codes[i];
  }
  return code + (negative ? 8 : 0);
}

int64_t quantize(const void* src, int32_t src_dtype, int64_t n, int32_t type, int64_t block, int64_t first,
                 int64_t last, uint8_t* codes, float* absmax) {
  for (int64_t b = first; b < last; ++b) {
    const int64_t end = std::min(n, (b + 1) * block);
    float largest = 0;
    for (int64_t i = b * block; i < end; ++i) {
      const float x = weight_at(src, src_dtype, i);
      if (!std::isfinite(x)) return i;
      largest = std::max(largest, std::fabs(x));
    }
    absmax[b] = largest;
    const float reciprocal = 1.0f / std::max(largest, kSmallestScale);
    const auto code = [&](int64_t i) {
      const float x = i < end ? weight_at(src, src_dtype, i) : 0.0f;
      return type == LN_NF4 ? nf4_code(x * reciprocal) : fp4_code(x * reciprocal, x < 0);
    };
    for (int64_t i = b * block; i < end; i += 2) codes[i / 2] = static_cast<uint8_t>(code(i) << 4 | code(i + 1));
  }
  return n;
}

void dequantize(const ln_quantized& weight, int32_t type, int64_t first, int64_t count, void* dst, int32_t dst_dtype) {
  for (int64_t i = 0; i < count; ++i) {
    const float x = quantized_at(weight, type, first + i);
    if (dst_dtype == LN_F32) {
      static_cast<float*>(dst)[i] = x;
    } else {
      cast_kernels().cast(&x, LN_F32, static_cast<uint16_t*>(dst) + i, dst_dtype, 1);
    }
  }
}

}  // namespace

const QuantizeKernels& quantize_kernels() {
  static const QuantizeKernels kernels = {quantize, dequantize};
  return kernels;
}

}  // namespace ln::cpu::reference
