#include "backend.hpp"

int32_t ln_dora_norms(ln_context* context, const void* weight, int32_t weight_dtype, const float* lora_a,
                      const float* lora_b, float scale, float* norms, int64_t out, int64_t in, int64_t rank) {
  return ln::guarded(context, "ln_dora_norms", [&](const ln::Checker& check) {
    check.at_least("out", out, 1);
    check.at_least("in", in, 1);
    check.at_least("rank", rank, 0);
    check.weight_dtype("weight_dtype", weight_dtype);
    check.finite("scale", scale);
    check.pointer("weight", weight, ln::weight_alignment(weight_dtype));
    if (rank > 0) {
      check.pointer("lora_a", lora_a);
      check.pointer("lora_b", lora_b);
    }
    check.pointer("norms", norms);
    ln::backend::dora_norms(*context, weight, weight_dtype, lora_a, lora_b, scale, norms, out, in, rank, check);
  });
}

int32_t ln_dora_fwd(ln_context* context, const ln_dora_fwd_args* args) {
  return ln::guarded(context, "ln_dora_fwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check.at_least("rows", args->rows, 0);
    check.at_least("out", args->out, 1);
    check.flag("accumulate", args->accumulate);
    if (args->bias != nullptr) {
      check.dtype("bias_dtype", args->bias_dtype);
      check.pointer("bias", args->bias, ln::dtype_bytes(args->bias_dtype));
    }
    if (args->rows == 0) return;
    check.pointer("z", args->z);
    check.pointer("magnitude", args->magnitude);
    check.pointer("norms", args->norms);
    check.pointer("y", args->y);
    if (args->accumulate != 0 && args->y == args->z) check.fail(LN_INVALID_ARGUMENT, "y is z, with accumulate");
    ln::backend::dora_fwd(*context, *args);
  });
}

int32_t ln_dora_bwd(ln_context* context, const ln_dora_bwd_args* args) {
  return ln::guarded(context, "ln_dora_bwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check.at_least("rows", args->rows, 0);
    check.at_least("out", args->out, 1);
    check.optional("grad_magnitude", args->grad_magnitude);
    if (args->rows == 0) return;
    check.pointer("dy", args->dy);
    if (args->grad_magnitude != nullptr) check.pointer("z", args->z);
    check.pointer("magnitude", args->magnitude);
    check.pointer("norms", args->norms);
    check.pointer("dz", args->dz);
    ln::backend::dora_bwd(*context, *args);
  });
}
