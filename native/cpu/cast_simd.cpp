#include "cast.hpp"
#include "simd/narrow.hpp"

namespace ln::cpu::LN_TIER {

namespace {

template <int From, int To>
void convert(const void* src, void* dst, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store_as<To>(dst, i, load_as<From>(src, i), kWidth);
  if (i < n) store_as<To>(dst, i, load_part_as<From>(src, i, n - i), n - i);
}

template <int From>
void convert_from(const void* src, void* dst, int32_t dst_dtype, int64_t n) {
  if (dst_dtype == LN_F32) return convert<From, LN_F32>(src, dst, n);
  if (dst_dtype == LN_BF16) return convert<From, LN_BF16>(src, dst, n);
  return convert<From, LN_F16>(src, dst, n);
}

void cast(const void* src, int32_t src_dtype, void* dst, int32_t dst_dtype, int64_t n) {
  if (src_dtype == LN_F32) return convert_from<LN_F32>(src, dst, dst_dtype, n);
  if (src_dtype == LN_BF16) return convert_from<LN_BF16>(src, dst, dst_dtype, n);
  return convert_from<LN_F16>(src, dst, dst_dtype, n);
}

}  // namespace

const CastKernels& cast_kernels() {
  static const CastKernels kernels = {cast};
  return kernels;
}

}  // namespace ln::cpu::LN_TIER
