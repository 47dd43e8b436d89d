#include "backend.hpp"

int32_t ln_quantize(ln_context* context, const void* src, int32_t src_dtype, int64_t n, int32_t type, int64_t block,
                    uint8_t* codes, float* absmax) {
  return ln::guarded(context, "ln_quantize", [&](const ln::Checker& check) {
    check.at_least("n", n, 0);
    check.dtype("src_dtype", src_dtype);
    check.quantized_type("type", type);
    check.power_of_two("block", block, 32, 4096);
    if (n == 0) return;
    check.pointer("src", src, ln::dtype_bytes(src_dtype));
    check.pointer("codes", codes, 1);
    check.pointer("absmax", absmax);
    ln::backend::quantize(*context, src, src_dtype, n, type, block, codes, absmax, check);
  });
}

int32_t ln_quantize_absmax(ln_context* context, const float* absmax, int64_t n, int64_t nested_block,
                           const float* nested_code, uint8_t* codes, float* nested_absmax, float* offset) {
  return ln::guarded(context, "ln_quantize_absmax", [&](const ln::Checker& check) {
    check.at_least("n", n, 0);
    check.power_of_two("nested_block", nested_block, 1, int64_t{1} << 30);
    if (n == 0) return;
    check.pointer("absmax", absmax);
    check.pointer("nested_code", nested_code);
    check.pointer("codes", codes, 1);
    check.pointer("nested_absmax", nested_absmax);
    check.pointer("offset", offset);
    ln::backend::quantize_absmax(*context, absmax, n, nested_block, nested_code, codes, nested_absmax, offset, check);
  });
}

int32_t ln_dequantize(ln_context* context, const ln_quantized* weight, int32_t type, int64_t first, int64_t count,
                      void* dst, int32_t dst_dtype) {
  return ln::guarded(context, "ln_dequantize", [&](const ln::Checker& check) {
    check.quantized_type("type", type);
    check.at_least("first", first, 0);
    check.at_least("count", count, 0);
    check.dtype("dst_dtype", dst_dtype);
    if (count == 0) return;
    check.pointer("weight", weight, 8);
    check.pointer("dst", dst, ln::dtype_bytes(dst_dtype));
    ln::backend::dequantize(*context, weight, type, first, count, dst, dst_dtype, check);
  });
}
