#include "cuda_backend.hpp"

namespace ln::backend {

void dora_norms(ln_context&, const void*, int32_t, const float*, const float*, float, float*, int64_t, int64_t, int64_t,
                const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_dora_norms: not in the CUDA library yet"};
}
void dora_fwd(ln_context&, const ln_dora_fwd_args&) {
  throw Error{LN_UNSUPPORTED, "ln_dora_fwd: not in the CUDA library yet"};
}
void dora_bwd(ln_context&, const ln_dora_bwd_args&) {
  throw Error{LN_UNSUPPORTED, "ln_dora_bwd: not in the CUDA library yet"};
}

}  // namespace ln::backend
