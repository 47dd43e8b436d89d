// 4-bit weights in the tiered sources: looking codes up, scales of blocks, elements as they lie.
#pragma once

#include "../quantized.hpp"
#include "narrow.hpp"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace ln::cpu::LN_TIER {

// ---- codes ----------------------------------------------------------------------------------------------------------

/// Eight codes lie in four bytes; code i of them is in the low bits of (word >> kCodeShifts[i]).
static constexpr int kCodeShifts[8] = {4, 0, 12, 8, 20, 16, 28, 24};

LN_INLINE uint32_t word_at(const uint8_t* codes) {
  uint32_t word;
  memcpy(&word, codes, 4);
  return word;
}

/// kWidth codes from a high nibble on, each in the low four bits of its lane, below bits that mean nothing.
LN_INLINE vu codes_at(const uint8_t* codes) {
#if LN_WIDTH == 16
  const __m512i low = _mm512_set1_epi32((int)word_at(codes));
  const vu words = (vu)_mm512_mask_set1_epi32(low, 0xff00, (int)word_at(codes + 4));
  return words >> (vu){4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24};
#elif LN_WIDTH == 8
  return ((vu){} + word_at(codes)) >> (vu){4, 0, 12, 8, 20, 16, 28, 24};
#else
  uint16_t half;
  memcpy(&half, codes, 2);
  return ((vu){} + half) >> (vu){4, 0, 12, 8};
#endif
}

// Codes in the order in which they are cheapest to get, and registers of floats in that order and back: `woven`.
#if LN_WIDTH == 16
/// Lane 2i has code i, lane 2i + 1 code 8 + i: both words in every pair of lanes need one load.
LN_INLINE vu woven_codes_at(const uint8_t* codes) {
  long long words;
  memcpy(&words, codes, 8);
  return (vu)_mm512_set1_epi64(words) >> (vu){4, 4, 0, 0, 12, 12, 8, 8, 20, 20, 16, 16, 28, 28, 24, 24};
}
LN_INLINE vf weave(vf x) {
  const vi from = {0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15};
  return (vf)_mm512_maskz_permutexvar_ps((__mmask16)0xffff, (__m512i)from, (__m512)x);
}
LN_INLINE vf unweave(vf x) {
  const vi from = {0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15};
  return (vf)_mm512_maskz_permutexvar_ps((__mmask16)0xffff, (__m512i)from, (__m512)x);
}
#else
LN_INLINE vu woven_codes_at(const uint8_t* codes) { return codes_at(codes); }
LN_INLINE vf weave(vf x) { return x; }
LN_INLINE vf unweave(vf x) { return x; }
#endif

LN_INLINE int code_of(const uint8_t* codes, int64_t i) { return codes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15; }

/// The 16 values of a format, times what the table was scaled with.
struct Table {
#if LN_WIDTH == 16
  vf all;

  static Table of(const float* values) { return {load(values)}; }
  Table scaled(float scale) const { return {all * scale}; }
  vf look_up(vu codes) const { return (vf)_mm512_maskz_permutexvar_ps((__mmask16)0xffff, (__m512i)codes, (__m512)all); }
#elif LN_WIDTH == 8
  vf low, high;

  static Table of(const float* values) { return {load(values), load(values + 8)}; }
  Table scaled(float scale) const { return {low * scale, high * scale}; }
  vf look_up(vu codes) const {
    const __m256 below = _mm256_permutevar8x32_ps((__m256)low, (__m256i)codes);
    const __m256 above = _mm256_permutevar8x32_ps((__m256)high, (__m256i)codes);
    return (vf)_mm256_blendv_ps(below, above, (__m256)(codes << 28));
  }
#elif defined(__aarch64__)
  vf part[4];

  static Table of(const float* values) {
    return {{load(values), load(values + 4), load(values + 8), load(values + 12)}};
  }
  Table scaled(float scale) const { return {{part[0] * scale, part[1] * scale, part[2] * scale, part[3] * scale}}; }
  vf look_up(vu codes) const {
    // The four bytes of code c are 4c .. 4c + 3 of the table.
    const vu bytes = (codes & 15u) * 0x04040404u + 0x03020100u;
    const uint8x16x4_t table = {{(uint8x16_t)part[0], (uint8x16_t)part[1], (uint8x16_t)part[2], (uint8x16_t)part[3]}};
    return (vf)vqtbl4q_u8(table, (uint8x16_t)bytes);
  }
#else
  float value[16];

  static Table of(const float* values) {
    Table table;
    memcpy(table.value, values, sizeof(table.value));
    return table;
  }
  Table scaled(float scale) const {
    Table table;
    for (int i = 0; i < 16; ++i) table.value[i] = value[i] * scale;
    return table;
  }
  vf look_up(vu codes) const {
    vf x;
    for (int i = 0; i < LN_WIDTH; ++i) x[i] = value[codes[i] & 15u];
    return x;
  }
#endif
};

template <int Type>
LN_INLINE Table table_of() {
  return Table::of(Type == LN_NF4 ? kNf4Values : kFp4Values);
}

// ---- scales ---------------------------------------------------------------------------------------------------------

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

/// log2 of a power of two.
LN_INLINE int shift_of(int64_t power) { return __builtin_ctzll((uint64_t)power); }

/// What the codes of the blocks are multiplied with. A copy of the descriptor, with its divisions as shifts.
struct Scales {
  const void* absmax;
  const float* nested_absmax;
  const float* nested_code;
  int shift, nested_shift;
  float offset;

  explicit Scales(const ln_quantized& weight)
      : absmax(weight.absmax),
        nested_absmax(weight.nested_absmax),
        nested_code(weight.nested_code),
        shift(shift_of(weight.block)),
        nested_shift(weight.nested_absmax == nullptr ? 0 : shift_of(weight.nested_block)),
        offset(weight.offset) {}

  float of_block(int64_t b) const {
    if (nested_absmax == nullptr) return ((const float*)absmax)[b];
    return rounded(nested_code[((const uint8_t*)absmax)[b]] * nested_absmax[b >> nested_shift]) + offset;
  }
  /// Of the block of element i.
  float at(int64_t i) const { return of_block(i >> shift); }
  /// out[i * stride] = at(first + i * step) for i < count.
  __attribute__((always_inline)) void spread(int64_t first, int64_t step, int64_t count, float* out,
                                             int64_t stride) const {
    if (nested_absmax == nullptr) {
      for (int64_t i = 0; i < count; ++i) out[i * stride] = ((const float*)absmax)[(first + i * step) >> shift];
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      const int64_t b = (first + i * step) >> shift;
      out[i * stride] = rounded(nested_code[((const uint8_t*)absmax)[b]] * nested_absmax[b >> nested_shift]) + offset;
    }
  }
  /// Whether element i is the first of its block.
  bool starts(int64_t i) const { return (i >> shift) << shift == i; }
  /// The first element of the next block.
  int64_t end(int64_t i) const { return ((i >> shift) + 1) << shift; }
};

// ---- elements -------------------------------------------------------------------------------------------------------

/// A stored matrix of 4-bit elements without gaps between its lines; what Reader is for the other formats.
template <int Type>
struct QuantizedReader {
  const uint8_t* codes;
  int64_t ld;
  Scales scales;

  QuantizedReader(const void* weight, int64_t ld_in)
      : codes(((const ln_quantized*)weight)->codes), ld(ld_in), scales(*(const ln_quantized*)weight) {}

  /// Whether kWidth elements from a multiple of kWidth in a line start at a byte and share a block.
  bool aligned() const { return ld % kWidth == 0; }

  vf read(int64_t line, int64_t at) const {
    const int64_t first = line * ld + at;
    if (first % 2 != 0 || scales.end(first) - first < kWidth) return part(first, kWidth);
    return table_of<Type>().look_up(codes_at(codes + first / 2)) * scales.at(first);
  }
  vf read_part(int64_t line, int64_t at, int64_t count) const { return part(line * ld + at, count); }
  vf read_some(int64_t line, int64_t at, int64_t count) const {
    return count >= kWidth ? read(line, at) : count > 0 ? read_part(line, at, count) : (vf){};
  }
  template <int Cache = 3>
  void prefetch(int64_t line, int64_t at) const {
    __builtin_prefetch((const void*)((uintptr_t)codes + (uintptr_t)(line * ld + at) / 2), 0, Cache);
  }

 private:
  /// One by one, wherever they lie; not inlined, as it is long and rare.
  __attribute__((noinline)) vf part(int64_t first, int64_t count) const {
    vf x = {};
    for (int64_t i = 0; i < count; ++i) {
      x[i] = (Type == LN_NF4 ? kNf4Values : kFp4Values)[code_of(codes, first + i)] * scales.at(first + i);
    }
    return x;
  }
};

/// dst[i] = element first + i for i < count.
template <int Type, int Dtype>
void dequantize_to(const ln_quantized& weight, int64_t first, int64_t count, void* dst) {
  const QuantizedReader<Type> source(&weight, 0);
  const Table values = table_of<Type>();
  const int64_t last = first + count;
  int64_t at = first;
  if (at % 2 != 0 && at < last) {
    store_as<Dtype>(dst, 0, source.read_part(0, at, 1), 1);
    ++at;
  }
  while (at < last) {
    const int64_t end = source.scales.end(at) < last ? source.scales.end(at) : last;
    const Table table = values.scaled(source.scales.at(at));
    for (; at + kWidth <= end; at += kWidth) {
      store_as<Dtype>(dst, at - first, table.look_up(codes_at(source.codes + at / 2)), kWidth);
    }
    if (at < end) {
      store_as<Dtype>(dst, at - first, source.read_part(0, at, end - at), end - at);
      at = end;
    }
  }
}

}  // namespace ln::cpu::LN_TIER
