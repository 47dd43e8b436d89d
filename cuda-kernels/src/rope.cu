#include "cuda_backend.hpp"

namespace ln::backend {

void rope(ln_context&, const ln_rope_args&, const Checker&) {
  throw Error{LN_UNSUPPORTED, "ln_rope: not in the CUDA library yet"};
}

}  // namespace ln::backend
