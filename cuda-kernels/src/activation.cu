#include "cuda_backend.hpp"

namespace ln::backend {

void gated_activation_fwd(ln_context&, int32_t, const float*, const float*, float*, int64_t) {
  throw Error{LN_UNSUPPORTED, "ln_gated_activation_fwd: not in the CUDA library yet"};
}
void gated_activation_bwd(ln_context&, int32_t, const float*, const float*, const float*, float*, float*, int64_t) {
  throw Error{LN_UNSUPPORTED, "ln_gated_activation_bwd: not in the CUDA library yet"};
}
void sigmoid_gate_fwd(ln_context&, const float*, const float*, float*, int64_t, int64_t, bool) {
  throw Error{LN_UNSUPPORTED, "ln_sigmoid_gate_fwd: not in the CUDA library yet"};
}
void sigmoid_gate_bwd(ln_context&, const float*, const float*, const float*, float*, float*, int64_t, int64_t) {
  throw Error{LN_UNSUPPORTED, "ln_sigmoid_gate_bwd: not in the CUDA library yet"};
}

}  // namespace ln::backend
