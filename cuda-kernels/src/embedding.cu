#include "cuda_backend.hpp"

namespace ln::backend {

void embedding_fwd(ln_context&, const void*, int32_t, const int32_t*, float*, int64_t, int64_t, int64_t,
                   const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_embedding_fwd: not in the CUDA library yet"};
}
void embedding_bwd(ln_context&, const float*, const int32_t*, float*, int64_t, int64_t, int64_t, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_embedding_bwd: not in the CUDA library yet"};
}
void embedding_rows_fwd(ln_context&, const float*, const int32_t*, const int32_t*, float*, int64_t, int64_t, int64_t,
                        int64_t, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_embedding_rows_fwd: not in the CUDA library yet"};
}
void embedding_rows_bwd(ln_context&, const float*, const int32_t*, const int32_t*, float*, int64_t, int64_t, int64_t,
                        int64_t, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_embedding_rows_bwd: not in the CUDA library yet"};
}

}  // namespace ln::backend
