#include "cuda_backend.hpp"
#include "scratch.hpp"

namespace ln::cuda {

int64_t linear_fwd_scratch(const ln_context&, const ln_linear_fwd_args&) { return 0; }
int64_t linear_bwd_scratch(const ln_context&, const ln_linear_bwd_args&) { return 0; }

}  // namespace ln::cuda

namespace ln::backend {

void linear_fwd(ln_context&, const ln_linear_fwd_args&, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_linear_fwd: not in the CUDA library yet"};
}
void linear_bwd(ln_context&, const ln_linear_bwd_args&, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_linear_bwd: not in the CUDA library yet"};
}

}  // namespace ln::backend
