// One float or four neighbours in registers: how kernels that only stream through memory read and write it. The width
// is chosen on the host, where the alignment of all arrays is known; it never changes a result.
#pragma once

#include "elements.cuh"

namespace ln::cuda {

template <int kWidth>
struct Pack {
  static_assert(kWidth == 1 || kWidth == 4, "one 16-byte access or one float");
  float at[kWidth];
};

template <int kWidth>
__device__ __forceinline__ Pack<kWidth> load_pack(const float* array, int64_t i) {
  if constexpr (kWidth == 1) {
    return {{array[i]}};
  } else {
    const float4 four = *reinterpret_cast<const float4*>(array + i);
    return {{four.x, four.y, four.z, four.w}};
  }
}

/// Of an array of LN_F32, LN_BF16 or LN_F16.
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> load_pack(const void* array, int32_t dtype, int64_t i) {
  if (dtype == LN_F32) return load_pack<kWidth>(static_cast<const float*>(array), i);
  if constexpr (kWidth == 1) {
    return {{load_element(array, dtype, i)}};
  } else {
    const uint2 pairs = *reinterpret_cast<const uint2*>(static_cast<const uint16_t*>(array) + i);
    const uint16_t bits[4] = {static_cast<uint16_t>(pairs.x), static_cast<uint16_t>(pairs.x >> 16),
                              static_cast<uint16_t>(pairs.y), static_cast<uint16_t>(pairs.y >> 16)};
    Pack<kWidth> pack;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      pack.at[j] = dtype == LN_BF16 ? simt::bf16_to_float(bits[j]) : simt::f16_to_float(bits[j]);
    }
    return pack;
  }
}

template <int kWidth>
__device__ __forceinline__ void store_pack(float* array, int64_t i, const Pack<kWidth>& pack) {
  if constexpr (kWidth == 1) {
    array[i] = pack.at[0];
  } else {
    *reinterpret_cast<float4*>(array + i) = make_float4(pack.at[0], pack.at[1], pack.at[2], pack.at[3]);
  }
}

/// Rounds to nearest even where the type is narrower.
template <int kWidth>
__device__ __forceinline__ void store_pack(void* array, int32_t dtype, int64_t i, const Pack<kWidth>& pack) {
  if (dtype == LN_F32) return store_pack<kWidth>(static_cast<float*>(array), i, pack);
  if constexpr (kWidth == 1) {
    store_element(array, dtype, i, pack.at[0]);
  } else {
    uint32_t bits[kWidth];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      bits[j] = dtype == LN_BF16 ? simt::float_to_bf16(pack.at[j]) : simt::float_to_f16(pack.at[j]);
    }
    *reinterpret_cast<uint2*>(static_cast<uint16_t*>(array) + i) =
        make_uint2(bits[0] | bits[1] << 16, bits[2] | bits[3] << 16);
  }
}

}  // namespace ln::cuda
