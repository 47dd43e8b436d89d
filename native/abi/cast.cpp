#include "backend.hpp"

int32_t ln_cast(ln_context* context, const void* src, int32_t src_dtype, void* dst, int32_t dst_dtype, int64_t n) {
  return ln::guarded(context, "ln_cast", [&](const ln::Checker& check) {
    check.at_least("n", n, 0);
    check.dtype("src_dtype", src_dtype);
    check.dtype("dst_dtype", dst_dtype);
    if (n == 0) return;
    check.pointer("src", src, ln::dtype_bytes(src_dtype));
    check.pointer("dst", dst, ln::dtype_bytes(dst_dtype));
    ln::backend::cast(*context, src, src_dtype, dst, dst_dtype, n);
  });
}
