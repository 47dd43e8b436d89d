// Conversion between float32, bfloat16 and float16. Bound by bytes: those of an element of both types. Equal types are
// copied bit by bit; every NaN becomes a NaN.
#include "packs.cuh"
#include "streaming.hpp"

namespace ln::cuda {

namespace {

/// The types are the same for all threads, so branches on them cost nothing that shows beside the memory.
struct Convert {
  const void* src;
  void* dst;
  int32_t src_dtype, dst_dtype;

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t i) const {
    store_pack<kWidth>(dst, dst_dtype, i, load_pack<kWidth>(src, src_dtype, i));
  }
};

template <typename Bits>
struct Copy {
  const Bits* src;
  Bits* dst;

  template <int kWidth>
  __device__ __forceinline__ void apply(int64_t i) const {
    if constexpr (kWidth == 1) {
      dst[i] = src[i];
    } else if constexpr (sizeof(Bits) == 2) {
      *reinterpret_cast<uint2*>(dst + i) = *reinterpret_cast<const uint2*>(src + i);
    } else {
      *reinterpret_cast<uint4*>(dst + i) = *reinterpret_cast<const uint4*>(src + i);
    }
  }
};

}  // namespace

}  // namespace ln::cuda

namespace ln::backend {

void cast(ln_context& context, const void* src, int32_t src_dtype, void* dst, int32_t dst_dtype, int64_t n) {
  using namespace cuda;
  const bool in_packs = aligned_to_packs({src, dst});
  if (src_dtype != dst_dtype) {
    launch_each(context, "ln_cast", Convert{src, dst, src_dtype, dst_dtype}, n, in_packs);
  } else if (src_dtype == LN_F32) {
    launch_each(context, "ln_cast", Copy<uint32_t>{static_cast<const uint32_t*>(src), static_cast<uint32_t*>(dst)}, n,
                in_packs);
  } else {
    launch_each(context, "ln_cast", Copy<uint16_t>{static_cast<const uint16_t*>(src), static_cast<uint16_t*>(dst)}, n,
                in_packs);
  }
}

}  // namespace ln::backend
