#include "cuda_backend.hpp"

namespace ln::backend {

void quantize(ln_context&, const void*, int32_t, int64_t, int32_t, int64_t, uint8_t*, float*, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_quantize: not in the CUDA library yet"};
}
void quantize_absmax(ln_context&, const float*, int64_t, int64_t, const float*, uint8_t*, float*, float*,
                     const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_quantize_absmax: not in the CUDA library yet"};
}
void dequantize(ln_context&, const ln_quantized*, int32_t, int64_t, int64_t, void*, int32_t, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_dequantize: not in the CUDA library yet"};
}

}  // namespace ln::backend
