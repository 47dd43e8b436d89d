#include "backend.hpp"

int32_t ln_matmul(ln_context* context, const ln_matmul_args* args) {
  return ln::guarded(context, "ln_matmul", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check.at_least("m", args->m, 0);
    check.at_least("n", args->n, 0);
    check.at_least("k", args->k, 0);
    check.dtype("a_dtype", args->a_dtype);
    check.weight_dtype("b_dtype", args->b_dtype);
    check.flag("transpose_a", args->transpose_a);
    check.flag("transpose_b", args->transpose_b);
    check.at_least("lda", args->lda, args->transpose_a ? args->m : args->k);
    check.at_least("ldb", args->ldb, args->transpose_b ? args->k : args->n);
    if (ln::is_quantized(args->b_dtype)) check.at_most("ldb", args->ldb, args->transpose_b ? args->k : args->n);
    check.at_least("ldc", args->ldc, args->n);
    if (args->bias != nullptr) check.dtype("bias_dtype", args->bias_dtype);
    if (args->m == 0 || args->n == 0) return;
    if (args->k > 0) {
      check.pointer("a", args->a, ln::dtype_bytes(args->a_dtype));
      check.pointer("b", args->b, ln::weight_alignment(args->b_dtype));
    }
    check.optional("bias", args->bias, args->bias == nullptr ? 1 : ln::dtype_bytes(args->bias_dtype));
    check.pointer("c", args->c);
    ln::backend::matmul(*context, *args, check);
  });
}
