#include "cuda_backend.hpp"
#include "scratch.hpp"

namespace ln::cuda {

int64_t moe_plan_scratch(const ln_context&, const ln_moe_plan_args&) { return 0; }

}  // namespace ln::cuda

namespace ln::backend {

void moe_plan(ln_context&, const ln_moe_plan_args&, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_moe_plan: not in the CUDA library yet"};
}
void gather_rows(ln_context&, const float*, const int32_t*, float*, int64_t, int64_t, int64_t, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_gather_rows: not in the CUDA library yet"};
}
void scatter_rows(ln_context&, const float*, const int32_t*, float*, int64_t, int64_t, int64_t, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_scatter_rows: not in the CUDA library yet"};
}
void gather_columns(ln_context&, const float*, const int32_t*, float*, int64_t, int64_t, int64_t, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_gather_columns: not in the CUDA library yet"};
}
void add_columns(ln_context&, const float*, const int32_t*, float*, int64_t, int64_t, int64_t, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_add_columns: not in the CUDA library yet"};
}
void moe_combine_fwd(ln_context&, const float*, const int32_t*, const float*, float*, int64_t, int64_t, int64_t, bool) {
  throw Error{LN_UNSUPPORTED, "ln_moe_combine_fwd: not in the CUDA library yet"};
}
void moe_combine_bwd(ln_context&, const float*, const float*, const int32_t*, const float*, float*, float*, int64_t,
                     int64_t, int64_t) {
  throw Error{LN_UNSUPPORTED, "ln_moe_combine_bwd: not in the CUDA library yet"};
}

}  // namespace ln::backend
