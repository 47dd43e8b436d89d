#include "cast.hpp"

#include <cstring>

#include "cpu_backend.hpp"

namespace ln::backend {

void cast(ln_context& context, const void* src, int32_t src_dtype, void* dst, int32_t dst_dtype, int64_t n) {
  const cpu::CastKernels& kernels = cpu::cast_kernels(cpu::tier(context));
  const int64_t src_bytes = dtype_bytes(src_dtype), dst_bytes = dtype_bytes(dst_dtype);
  cpu::pool(context).ranges(n, cpu::kElementsPerTask, [&](int64_t first, int64_t last, int) {
    const char* from = static_cast<const char*>(src) + first * src_bytes;
    char* to = static_cast<char*>(dst) + first * dst_bytes;
    if (src_dtype == dst_dtype) {
      std::memcpy(to, from, static_cast<size_t>((last - first) * src_bytes));
    } else {
      kernels.cast(from, src_dtype, to, dst_dtype, last - first);
    }
  });
}

}  // namespace ln::backend
