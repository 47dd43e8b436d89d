// Operands of products: matrices of any ln_dtype, read in chunks of eight elements that lie side by side. Reading has
// two halves, so that loads can be in flight while something else is computed: fetch() loads what is stored, bf16() and
// floats() make numbers of it. Matrices without whole_chunks() are read element by element or byte by byte, and their
// chunks may cross blocks of a 4-bit weight.
#pragma once

#include "elements.cuh"
#include "quantized.cuh"

namespace ln::cuda {

/// A matrix of lines x k: rows of the left operand of a product, columns of the right one, and what is summed over.
/// Element (line, k) has number line * ld + k where k is inner, k * ld + line otherwise.
struct Operand {
  const void* data;  // of a 4-bit type: the address of an ln_quantized in device memory
  int64_t ld;
  int64_t lines;
  int32_t dtype;
  int32_t k_inner;
};

constexpr int kChunk = 8;

/// Eight elements as they are stored, or what will become of them.
struct Chunk {
  uint32_t word[8];
};

/// Whether every chunk of the matrix is aligned to 16 bytes and is there in full or not at all; for 4-bit types every
/// chunk then lies in one block. Host code chooses kernels by it.
inline bool whole_chunks(const Operand& operand, int64_t k) {
  if (operand.dtype == LN_NF4 || operand.dtype == LN_FP4) return operand.ld % kChunk == 0;
  const int64_t bytes = operand.ld * (operand.dtype == LN_F32 ? 4 : 2);
  return reinterpret_cast<uint64_t>(operand.data) % 16 == 0 && bytes % 16 == 0 &&
         (operand.k_inner != 0 ? k : operand.lines) % kChunk == 0;
}

/// Reads chunks: fetch() loads elements at .. at + valid - 1 and zeros behind them, `valid` being 8 or 0 with kWhole.
template <bool kFourBits, bool kWhole>
class Reader;

/// LN_F32, LN_BF16, LN_F16.
template <bool kWhole>
class Reader<false, kWhole> {
 public:
  __device__ __forceinline__ Reader(const void* data, int32_t dtype) : data_(data), dtype_(dtype) {}

  __device__ __forceinline__ void fetch(Chunk& chunk, int64_t at, int valid) const {
    if constexpr (kWhole) {
      uint4 low = make_uint4(0, 0, 0, 0), high = low;
      if (valid != 0) {
        const uint4* const from =
            reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(data_) + (dtype_ == LN_F32 ? 2 * at : at));
        low = __ldg(from);
        if (dtype_ == LN_F32) high = __ldg(from + 1);
      }
      chunk = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
    } else if (dtype_ == LN_F32) {
      const float* const from = static_cast<const float*>(data_) + at;
#pragma unroll
      for (int i = 0; i < kChunk; ++i) chunk.word[i] = i < valid ? __float_as_uint(__ldg(from + i)) : 0;
    } else {
      const uint16_t* const from = static_cast<const uint16_t*>(data_) + at;
#pragma unroll
      for (int i = 0; i < kChunk; i += 2) {
        const uint32_t low = i < valid ? __ldg(from + i) : 0;
        const uint32_t high = i + 1 < valid ? __ldg(from + i + 1) : 0;
        chunk.word[i / 2] = low | high << 16;
      }
    }
  }

  /// The chunk in bfloat16.
  __device__ __forceinline__ uint4 bf16(const Chunk& chunk, const float*) const {
    if (dtype_ == LN_BF16) return make_uint4(chunk.word[0], chunk.word[1], chunk.word[2], chunk.word[3]);
    float value[kChunk];
    floats(value, chunk, nullptr);
    return make_uint4(simt::pack_bf16(value[0], value[1]), simt::pack_bf16(value[2], value[3]),
                      simt::pack_bf16(value[4], value[5]), simt::pack_bf16(value[6], value[7]));
  }

  __device__ __forceinline__ void floats(float (&value)[kChunk], const Chunk& chunk, const float*) const {
    if (dtype_ == LN_F32) {
#pragma unroll
      for (int i = 0; i < kChunk; ++i) value[i] = __uint_as_float(chunk.word[i]);
    } else if (dtype_ == LN_BF16) {
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        value[i] = __uint_as_float(i % 2 == 0 ? chunk.word[i / 2] << 16 : chunk.word[i / 2] & 0xffff0000u);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        value[i] = simt::f16_to_float(static_cast<uint16_t>(chunk.word[i / 2] >> (i % 2 * 16)));
      }
    }
  }

 private:
  const void* data_;
  int32_t dtype_;
};

/// LN_NF4, LN_FP4; every value is exactly what ln_dequantize gives as float32, and is rounded once from there.
template <bool kWhole>
class Reader<true, kWhole> {
 public:
  __device__ __forceinline__ Reader(const void* data, int32_t) {
    const ln_quantized& weight = *static_cast<const ln_quantized*>(data);
    codes_ = weight.codes;
    absmax_ = weight.absmax;
    nested_absmax_ = weight.nested_absmax;
    nested_code_ = weight.nested_code;
    offset_ = weight.offset;
    shift_ = __ffs(static_cast<int>(weight.block)) - 1;
    nested_shift_ = nested_absmax_ == nullptr ? 0 : __ffs(static_cast<int>(weight.nested_block)) - 1;
  }

  /// Words of a whole chunk: codes, stored scale, nested scale, whether there is anything. Of another: codes, scale,
  /// scale from element word[3] on.
  __device__ __forceinline__ void fetch(Chunk& chunk, int64_t at, int valid) const {
    const int64_t block = at >> shift_;
    if constexpr (kWhole) {
      chunk.word[0] = chunk.word[1] = chunk.word[2] = chunk.word[3] = 0;
      if (valid == 0) return;
      const uint8_t* const from = codes_ + (at >> 1);
      if ((reinterpret_cast<uint64_t>(codes_) & 3) == 0) {
        chunk.word[0] = __ldg(reinterpret_cast<const uint32_t*>(from));
      } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) chunk.word[0] |= static_cast<uint32_t>(__ldg(from + i)) << (8 * i);
      }
      if (nested_absmax_ == nullptr) {
        chunk.word[1] = __float_as_uint(__ldg(static_cast<const float*>(absmax_) + block));
      } else {
        chunk.word[1] = __ldg(static_cast<const uint8_t*>(absmax_) + block);
        chunk.word[2] = __float_as_uint(__ldg(nested_absmax_ + (block >> nested_shift_)));
      }
      chunk.word[3] = 1;
    } else {
      // Up to five bytes, shifted so that the first element is the high half of the lowest byte.
      const int odd = static_cast<int>(at & 1);
      uint64_t bytes = 0;
#pragma unroll
      for (int i = 0; i < 5; ++i) {
        if (valid > 0 && 2 * i < valid + odd) bytes |= uint64_t{__ldg(codes_ + (at >> 1) + i)} << (8 * i);
      }
      if (odd != 0) bytes = swap_halves(swap_halves(bytes) >> 4);
      const int64_t of_block = ((block + 1) << shift_) - at;
      const int split = of_block < valid ? static_cast<int>(of_block) : valid;
      chunk.word[0] = static_cast<uint32_t>(bytes);
      chunk.word[1] = valid > 0 ? __float_as_uint(scale_of(block)) : 0;
      chunk.word[2] = split < valid ? __float_as_uint(scale_of(block + 1)) : 0;
      chunk.word[3] = static_cast<uint32_t>(split);
    }
  }

  __device__ __forceinline__ uint4 bf16(const Chunk& chunk, const float* table) const {
    float value[kChunk];
    floats(value, chunk, table);
    return make_uint4(simt::pack_bf16(value[0], value[1]), simt::pack_bf16(value[2], value[3]),
                      simt::pack_bf16(value[4], value[5]), simt::pack_bf16(value[6], value[7]));
  }

  __device__ __forceinline__ void floats(float (&value)[kChunk], const Chunk& chunk, const float* table) const {
    if constexpr (kWhole) {
      float scale = __uint_as_float(chunk.word[1]);
      if (nested_absmax_ != nullptr) {
        scale = __fadd_rn(__fmul_rn(__ldg(nested_code_ + chunk.word[1]), __uint_as_float(chunk.word[2])), offset_);
        if (chunk.word[3] == 0) scale = 0;
      }
#pragma unroll
      for (int i = 0; i < kChunk; ++i) value[i] = __fmul_rn(table[code(chunk.word[0], i)], scale);
    } else {
      const float first = __uint_as_float(chunk.word[1]), second = __uint_as_float(chunk.word[2]);
      const int split = static_cast<int>(chunk.word[3]);
#pragma unroll
      for (int i = 0; i < kChunk; ++i) value[i] = __fmul_rn(table[code(chunk.word[0], i)], i < split ? first : second);
    }
  }

 private:
  static __device__ __forceinline__ uint32_t code(uint32_t codes, int i) {
    return codes >> (i / 2 * 8 + (i % 2 == 0 ? 4 : 0)) & 15u;
  }
  static __device__ __forceinline__ uint64_t swap_halves(uint64_t bytes) {
    return (bytes >> 4 & 0x0f0f0f0f0full) | (bytes & 0x0f0f0f0f0full) << 4;
  }
  __device__ __forceinline__ float scale_of(int64_t block) const {
    if (nested_absmax_ == nullptr) return __ldg(static_cast<const float*>(absmax_) + block);
    const float entry = __ldg(nested_code_ + __ldg(static_cast<const uint8_t*>(absmax_) + block));
    return __fadd_rn(__fmul_rn(entry, __ldg(nested_absmax_ + (block >> nested_shift_))), offset_);
  }

  const uint8_t* codes_;
  const void* absmax_;
  const float* nested_absmax_;
  const float* nested_code_;
  float offset_;
  int shift_, nested_shift_;
};

}  // namespace ln::cuda
