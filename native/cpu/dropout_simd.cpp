#include "dropout.hpp"
#include "simd/simd.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ln::cpu::LN_TIER {

namespace {

typedef uint64_t vl __attribute__((vector_size(LN_WIDTH * 4)));

/// Products of the low 32 bits of each 64-bit lane.
LN_INLINE vl multiply_low_halves(vl a, vl b) {
#if LN_WIDTH == 16
  // Unmasked, GCC 12 warns of its own header.
  return (vl)_mm512_maskz_mul_epu32((__mmask8)0xff, (__m512i)a, (__m512i)b);
#elif LN_WIDTH == 8 && defined(__AVX2__)
  return (vl)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif LN_WIDTH == 4 && defined(__SSE2__)
  return (vl)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

LN_INLINE void multiply_wide(vu a, uint32_t factor, vu* high, vu* low) {
  const vl factors = (vl){} + factor;
  const vl even = multiply_low_halves((vl)a, factors);
  const vl odd = multiply_low_halves((vl)a >> 32, factors);
  const vl upper = (vl){} + 0xffffffff00000000u;
  *high = (vu)((even >> 32) | (odd & upper));
  *low = (vu)((even & ~upper) | (odd << 32));
}

#if LN_WIDTH == 16
LN_INLINE vu zip_low(vu a, vu b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
LN_INLINE vu zip_high(vu a, vu b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
#elif LN_WIDTH == 8
LN_INLINE vu zip_low(vu a, vu b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
LN_INLINE vu zip_high(vu a, vu b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
#else
LN_INLINE vu zip_low(vu a, vu b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
LN_INLINE vu zip_high(vu a, vu b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
#endif

/// The words of blocks [block, block + kWidth), in the order of the elements that they belong to. One lane is one block
/// until the last step, which transposes.
LN_INLINE void philox(uint64_t seed, uint64_t stream, uint64_t block, vu words[4]) {
  vu lane;
  for (int i = 0; i < LN_WIDTH; ++i) lane[i] = (uint32_t)i;
  vu x0 = lane + (uint32_t)block;
  vu x1 = (uint32_t)(block >> 32) - (vu)(x0 < lane);  // a true comparison is -1: the carry
  vu x2 = (vu){} + (uint32_t)stream;
  vu x3 = (vu){} + (uint32_t)(stream >> 32);
  uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    vu even_high, even_low, odd_high, odd_low;
    multiply_wide(x0, 0xd2511f53u, &even_high, &even_low);
    multiply_wide(x2, 0xcd9e8d57u, &odd_high, &odd_low);
    x0 = odd_high ^ x1 ^ key0;
    x1 = odd_low;
    x2 = even_high ^ x3 ^ key1;
    x3 = even_low;
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
  const vu even_low = zip_low(x0, x2), odd_low = zip_low(x1, x3);
  const vu even_high = zip_high(x0, x2), odd_high = zip_high(x1, x3);
  words[0] = zip_low(even_low, odd_low);
  words[1] = zip_high(even_low, odd_low);
  words[2] = zip_low(even_high, odd_high);
  words[3] = zip_high(even_high, odd_high);
}

void random_words(uint64_t seed, uint64_t stream, uint64_t block, int64_t blocks, uint32_t* words) {
  for (int64_t done = 0; done < blocks; done += kWidth) {
    vu some[4];
    philox(seed, stream, block + (uint64_t)done, some);
    const int64_t count = blocks - done < kWidth ? blocks - done : kWidth;
    memcpy(words + done * 4, some, (size_t)count * 16);
  }
}

void dropout(const float* x, float* y, int64_t first, int64_t n, uint64_t threshold, float scale, uint64_t seed,
             uint64_t stream, bool accumulate) {
  // word > threshold - 1 instead of word >= threshold keeps the bound within 32 bits; 0 keeps everything.
  const vu bound = (vu){} + (uint32_t)(threshold - 1);
  const vi always = (vi){} - (int32_t)(threshold == 0);
  const vf factor = broadcast(scale);
  for (int64_t i = 0; i < n; i += 4 * kWidth) {
    vu words[4];
    philox(seed, stream, (uint64_t)(first + i) / 4, words);
    for (int part = 0; part < 4; ++part) {
      const int64_t at = i + part * kWidth;
      const int64_t count = n - at < kWidth ? n - at : kWidth;
      if (count <= 0) break;
      const bool whole = count == kWidth;
      const vi keep = (vi)(words[part] > bound) | always;
      const vf value = select(keep, (whole ? load(x + at) : load_part(x + at, count)) * factor, (vf){});
      const vf before = !accumulate ? (vf){} : whole ? load(y + at) : load_part(y + at, count);
      const vf after = accumulate ? before + value : value;
      if (whole) {
        store(y + at, after);
      } else {
        store_part(y + at, after, count);
      }
    }
  }
}

}  // namespace

const DropoutKernels& dropout_kernels() {
  static const DropoutKernels kernels = {random_words, dropout};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
