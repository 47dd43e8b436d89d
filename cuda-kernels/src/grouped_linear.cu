#include "cuda_backend.hpp"
#include "scratch.hpp"

namespace ln::cuda {

int64_t grouped_linear_fwd_scratch(const ln_context&, const ln_grouped_linear_fwd_args&) { return 0; }
int64_t grouped_linear_bwd_scratch(const ln_context&, const ln_grouped_linear_bwd_args&) { return 0; }

}  // namespace ln::cuda

namespace ln::backend {

void grouped_linear_fwd(ln_context&, const ln_grouped_linear_fwd_args&, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_grouped_linear_fwd: not in the CUDA library yet"};
}
void grouped_linear_bwd(ln_context&, const ln_grouped_linear_bwd_args&, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_grouped_linear_bwd: not in the CUDA library yet"};
}

}  // namespace ln::backend
