#include "backend.hpp"

int32_t ln_rmsnorm_fwd(ln_context* context, const ln_rmsnorm_fwd_args* args) {
  return ln::guarded(context, "ln_rmsnorm_fwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check.at_least("rows", args->rows, 0);
    check.at_least("width", args->width, 1);
    check.dtype("weight_dtype", args->weight_dtype);
    if (!(args->epsilon >= 0))
      check.fail(LN_INVALID_ARGUMENT, "epsilon is " + std::to_string(args->epsilon) + ", must be at least 0");
    if (args->rows == 0) return;
    check.pointer("x", args->x);
    check.optional("residual", args->residual);
    check.pointer("weight", args->weight, ln::dtype_bytes(args->weight_dtype));
    check.optional("sum", args->sum);
    check.pointer("y", args->y);
    check.optional("rstd", args->rstd);
    if (args->y == args->sum) check.fail(LN_INVALID_ARGUMENT, "y and sum are the same memory");
    ln::backend::rmsnorm_fwd(*context, *args);
  });
}

int32_t ln_rmsnorm_bwd(ln_context* context, const ln_rmsnorm_bwd_args* args) {
  return ln::guarded(context, "ln_rmsnorm_bwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check.at_least("rows", args->rows, 0);
    check.at_least("width", args->width, 1);
    check.dtype("weight_dtype", args->weight_dtype);
    if (args->rows == 0) return;
    check.pointer("dy", args->dy);
    check.pointer("z", args->z);
    check.pointer("weight", args->weight, ln::dtype_bytes(args->weight_dtype));
    check.pointer("rstd", args->rstd);
    check.optional("dresidual", args->dresidual);
    check.pointer("dx", args->dx);
    check.optional("grad_weight", args->grad_weight);
    ln::backend::rmsnorm_bwd(*context, *args);
  });
}
