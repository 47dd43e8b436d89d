// Operands of products: matrices of any ln_dtype, read in chunks of eight elements that lie side by side. Reading has
// two halves, so that loads can be in flight while something else is computed: fetch() loads what is stored, bf16() and
// floats() make numbers of it. Chunks that are not aligned, that end early or that cross blocks of a 4-bit weight are
// read element by element or byte by byte.
#pragma once

#include "elements.cuh"
#include "quantized_element.cuh"

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

/// What decoding needs of a 4-bit type: its 16 values in shared memory, where lanes look up different ones at once.
/// The caller puts a barrier behind it.
__device__ __forceinline__ void fill_table(float* table, int32_t dtype) {
  if (threadIdx.x < 16 && threadIdx.y == 0) {
    table[threadIdx.x] = (dtype == LN_NF4 ? kElementNf4 : kElementFp4)[threadIdx.x];
  }
}

template <bool kFourBits>
class Reader;

/// LN_F32, LN_BF16, LN_F16.
template <>
class Reader<false> {
 public:
  __device__ __forceinline__ Reader(const void* data, int32_t dtype, int64_t ld) : data_(data), dtype_(dtype) {
    const uint64_t bytes = dtype == LN_F32 ? 4 : 2;
    aligned_ = ((reinterpret_cast<uint64_t>(data) | static_cast<uint64_t>(ld) * bytes) & 15) == 0;
  }

  /// Elements at .. at + valid - 1, `valid` being at most 8, and zeros. `at` is a multiple of 8, or of 8 after the
  /// first element of a line.
  __device__ __forceinline__ void fetch(Chunk& chunk, int64_t at, int valid) const {
    if (dtype_ == LN_F32) {
      const float* const from = static_cast<const float*>(data_) + at;
      if (aligned_ && valid == kChunk) {
        const uint4 low = __ldg(reinterpret_cast<const uint4*>(from));
        const uint4 high = __ldg(reinterpret_cast<const uint4*>(from) + 1);
        chunk = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
      } else {
#pragma unroll
        for (int i = 0; i < kChunk; ++i) chunk.word[i] = i < valid ? __float_as_uint(__ldg(from + i)) : 0;
      }
    } else {
      const uint16_t* const from = static_cast<const uint16_t*>(data_) + at;
      if (aligned_ && valid == kChunk) {
        const uint4 all = __ldg(reinterpret_cast<const uint4*>(from));
        chunk.word[0] = all.x, chunk.word[1] = all.y, chunk.word[2] = all.z, chunk.word[3] = all.w;
      } else {
#pragma unroll
        for (int i = 0; i < kChunk; i += 2) {
          const uint32_t low = i < valid ? __ldg(from + i) : 0;
          const uint32_t high = i + 1 < valid ? __ldg(from + i + 1) : 0;
          chunk.word[i / 2] = low | high << 16;
        }
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

  __device__ __forceinline__ bool aligned() const { return aligned_; }
  __device__ __forceinline__ const void* at(int64_t i) const { return static_cast<const uint16_t*>(data_) + i; }

 private:
  const void* data_;
  int32_t dtype_;
  bool aligned_;
};

/// LN_NF4, LN_FP4; every value is exactly what ln_dequantize gives as float32, and is rounded once from there.
template <>
class Reader<true> {
 public:
  __device__ __forceinline__ Reader(const void* data, int32_t, int64_t ld) {
    const ln_quantized& weight = *static_cast<const ln_quantized*>(data);
    codes_ = weight.codes;
    absmax_ = weight.absmax;
    nested_absmax_ = weight.nested_absmax;
    nested_code_ = weight.nested_code;
    offset_ = weight.offset;
    shift_ = __ffs(static_cast<int>(weight.block)) - 1;
    nested_shift_ = nested_absmax_ == nullptr ? 0 : __ffs(static_cast<int>(weight.nested_block)) - 1;
    aligned_ = (reinterpret_cast<uint64_t>(codes_) & 3) == 0 && (ld & 7) == 0;
  }

  /// Words of an aligned chunk: codes, stored scale, nested scale, whether there is anything; of another one: codes,
  /// scale, scale from element word[3] on.
  __device__ __forceinline__ void fetch(Chunk& chunk, int64_t at, int valid) const {
    if (aligned_) {
      chunk.word[0] = chunk.word[1] = chunk.word[2] = chunk.word[3] = 0;
      if (valid == 0) return;
      chunk.word[0] = __ldg(reinterpret_cast<const uint32_t*>(codes_) + (at >> 3));
      const int64_t block = at >> shift_;
      if (nested_absmax_ == nullptr) {
        chunk.word[1] = __float_as_uint(__ldg(static_cast<const float*>(absmax_) + block));
      } else {
        chunk.word[1] = __ldg(static_cast<const uint8_t*>(absmax_) + block);
        chunk.word[2] = __float_as_uint(__ldg(nested_absmax_ + (block >> nested_shift_)));
      }
      chunk.word[3] = 1;
      return;
    }
    // Up to five bytes, shifted so that the first element is the high half of the lowest byte.
    const int odd = static_cast<int>(at & 1);
    uint64_t bytes = 0;
#pragma unroll
    for (int i = 0; i < 5; ++i) {
      if (valid > 0 && 2 * i < valid + odd) bytes |= uint64_t{__ldg(codes_ + (at >> 1) + i)} << (8 * i);
    }
    if (odd != 0) {  // halves change places, move down by one, and change back
      bytes = (bytes >> 4 & 0x0f0f0f0f0full) | (bytes & 0x0f0f0f0f0full) << 4;
      bytes >>= 4;
      bytes = (bytes >> 4 & 0x0f0f0f0f0full) | (bytes & 0x0f0f0f0f0full) << 4;
    }
    const int64_t block = at >> shift_;
    const int64_t first_of_next = (block + 1) << shift_;
    const int split = static_cast<int>(first_of_next - at < valid ? first_of_next - at : valid);
    chunk.word[0] = static_cast<uint32_t>(bytes);
    chunk.word[1] = valid > 0 ? __float_as_uint(scale_of(block)) : 0;
    chunk.word[2] = split < valid ? __float_as_uint(scale_of(block + 1)) : 0;
    chunk.word[3] = static_cast<uint32_t>(split);
  }

  __device__ __forceinline__ uint4 bf16(const Chunk& chunk, const float* table) const {
    float value[kChunk];
    floats(value, chunk, table);
    return make_uint4(simt::pack_bf16(value[0], value[1]), simt::pack_bf16(value[2], value[3]),
                      simt::pack_bf16(value[4], value[5]), simt::pack_bf16(value[6], value[7]));
  }

  __device__ __forceinline__ void floats(float (&value)[kChunk], const Chunk& chunk, const float* table) const {
    if (aligned_) {
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
  bool aligned_;
};

}  // namespace ln::cuda
