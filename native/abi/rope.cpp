#include "backend.hpp"

int32_t ln_rope(ln_context* context, const ln_rope_args* args) {
  return ln::guarded(context, "ln_rope", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check.at_least("tokens", args->tokens, 0);
    check.at_least("heads", args->heads, 1);
    check.at_least("head_dim", args->head_dim, 1);
    check.at_least("rotary_dim", args->rotary_dim, 2);
    check.at_most("rotary_dim", args->rotary_dim, args->head_dim);
    if (args->rotary_dim % 2 != 0) {
      check.fail(LN_INVALID_ARGUMENT, "rotary_dim is " + std::to_string(args->rotary_dim) + ", must be even");
    }
    check.at_least("table_rows", args->table_rows, 1);
    check.flag("transpose", args->transpose);
    if (args->tokens == 0) return;
    check.pointer("x", args->x);
    check.pointer("cosine", args->cosine);
    check.pointer("sine", args->sine);
    check.pointer("positions", args->positions);
    ln::backend::rope(*context, *args, check);
  });
}
