#include "quantize.hpp"
#include "simd/quantized.hpp"

namespace ln::cpu::LN_TIER {

namespace {

// ---- quantising -----------------------------------------------------------------------------------------------------

LN_INLINE vf magnitude(vf x) { return (vf)((vi)x & 0x7fffffff); }

/// The largest magnitude of up to `block` elements; infinite or NaN if one of them is.
template <int Dtype>
LN_INLINE float largest_magnitude(const void* src, int64_t first, int64_t count) {
  vi largest = {};  // bits of magnitudes are ordered as they are, NaN above all
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    const vi bits = (vi)magnitude(load_as<Dtype>(src, first + i));
    largest = bits > largest ? bits : largest;
  }
  if (i < count) {
    const vi bits = (vi)magnitude(load_part_as<Dtype>(src, first + i, count - i));
    largest = bits > largest ? bits : largest;
  }
  int32_t most = 0;
  for (int lane = 0; lane < LN_WIDTH; ++lane) most = largest[lane] > most ? largest[lane] : most;
  return __builtin_bit_cast(float, most);
}

LN_INLINE vi nf4_codes(vf r) {
  vi code = {};
#pragma GCC unroll 15
  for (int i = 0; i < 15; ++i) code -= broadcast(kNf4Midpoints.of[i]) < r;
  return code;
}

LN_INLINE vi fp4_codes(vf r, vf x) {
  const vf size = magnitude(r);
  vi code = {};
#pragma GCC unroll 7
  for (int i = 0; i < 7; ++i) code = size > broadcast(kFp4Midpoints[i]) ? (vi){} + kFp4Codes[i] : code;
  return code | ((x < 0.0f) & 8);
}

typedef uint64_t vpairs __attribute__((vector_size(LN_WIDTH * 4)));
typedef uint8_t vbytes __attribute__((vector_size(LN_WIDTH / 2)));

/// The codes of the first `count` elements of x, of which bytes are made in pairs.
template <int Type>
LN_INLINE void store_codes(vf x, float reciprocal, int64_t count, uint8_t* codes) {
  const vf r = x * reciprocal;
  const vpairs pairs = (vpairs)(Type == LN_NF4 ? nf4_codes(r) : fp4_codes(r, x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "the first code of a pair is its low half"
#endif
  const vbytes bytes = __builtin_convertvector(pairs << 4 | pairs >> 32, vbytes);
  memcpy(codes, &bytes, (size_t)(count + 1) / 2);
}

template <int Dtype, int Type>
int64_t quantize_as(const void* src, int64_t n, int64_t block, int64_t first, int64_t last, uint8_t* codes,
                    float* absmax) {
  for (int64_t b = first; b < last; ++b) {
    const int64_t start = b * block, count = n - start < block ? n - start : block;
    const float largest = largest_magnitude<Dtype>(src, start, count);
    if (largest - largest != 0) {
      for (int64_t i = start;; ++i) {
        const float x = element_as<Dtype>(src, i);
        if (x - x != 0) return i;
      }
    }
    absmax[b] = largest;
    const float reciprocal = 1.0f / (largest > kSmallestScale ? largest : kSmallestScale);
    int64_t i = 0;
    for (; i + kWidth <= count; i += kWidth) {
      store_codes<Type>(load_as<Dtype>(src, start + i), reciprocal, kWidth, codes + (start + i) / 2);
    }
    if (i < count) {
      store_codes<Type>(load_part_as<Dtype>(src, start + i, count - i), reciprocal, count - i, codes + (start + i) / 2);
    }
  }
  return n;
}

template <int Dtype>
int64_t quantize_from(const void* src, int64_t n, int32_t type, int64_t block, int64_t first, int64_t last,
                      uint8_t* codes, float* absmax) {
  return type == LN_NF4 ? quantize_as<Dtype, LN_NF4>(src, n, block, first, last, codes, absmax)
                        : quantize_as<Dtype, LN_FP4>(src, n, block, first, last, codes, absmax);
}

int64_t quantize(const void* src, int32_t src_dtype, int64_t n, int32_t type, int64_t block, int64_t first,
                 int64_t last, uint8_t* codes, float* absmax) {
  if (src_dtype == LN_F32) return quantize_from<LN_F32>(src, n, type, block, first, last, codes, absmax);
  if (src_dtype == LN_BF16) return quantize_from<LN_BF16>(src, n, type, block, first, last, codes, absmax);
  return quantize_from<LN_F16>(src, n, type, block, first, last, codes, absmax);
}

// ---- dequantising ---------------------------------------------------------------------------------------------------

template <int Type>
void dequantize_from(const ln_quantized& weight, int64_t first, int64_t count, void* dst, int32_t dst_dtype) {
  if (dst_dtype == LN_F32) return dequantize_to<Type, LN_F32>(weight, first, count, dst);
  if (dst_dtype == LN_BF16) return dequantize_to<Type, LN_BF16>(weight, first, count, dst);
  return dequantize_to<Type, LN_F16>(weight, first, count, dst);
}

void dequantize(const ln_quantized& weight, int32_t type, int64_t first, int64_t count, void* dst, int32_t dst_dtype) {
  if (type == LN_NF4) return dequantize_from<LN_NF4>(weight, first, count, dst, dst_dtype);
  return dequantize_from<LN_FP4>(weight, first, count, dst, dst_dtype);
}

}  // namespace

const QuantizeKernels& quantize_kernels() {
  static const QuantizeKernels kernels = {quantize, dequantize};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
