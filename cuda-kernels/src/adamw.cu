#include "cuda_backend.hpp"

namespace ln::backend {

void adamw(ln_context&, const ln_adamw_args&) { throw Error{LN_UNSUPPORTED, "ln_adamw: not in the CUDA library yet"}; }

}  // namespace ln::backend
