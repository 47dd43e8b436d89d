#include "grouped_checks.hpp"

namespace {

template <typename Args>
void check_sizes(const Args& args, const ln::Checker& check) {
  ln::check_grouped_sizes(args, check);
  ln::check_max_rank("max_rank", args.max_rank, check);
}

template <typename Args>
void check_tables(const Args& args, const ln::Checker& check) {
  check.pointer("offsets", args.offsets);
  if (args.max_rank == 0) return;
  check.optional("lora_x", args.lora_x);
  ln::check_adapter_tables(args, check);
}

}  // namespace

int32_t ln_grouped_linear_fwd(ln_context* context, const ln_grouped_linear_fwd_args* args) {
  return ln::guarded(context, "ln_grouped_linear_fwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check_sizes(*args, check);
    if (args->rows == 0) return;
    check.pointer("x", args->x);
    check_tables(*args, check);
    check.pointer("weights", args->weights, alignof(void*));
    if (args->max_rank > 0) check.pointer("u", args->u);
    check.pointer("y", args->y);
    ln::backend::grouped_linear_fwd(*context, *args, check);
  });
}

int32_t ln_grouped_linear_bwd(ln_context* context, const ln_grouped_linear_bwd_args* args) {
  return ln::guarded(context, "ln_grouped_linear_bwd", [&](const ln::Checker& check) {
    check.pointer("args", args, 8);
    check_sizes(*args, check);
    check.flag("accumulate", args->accumulate);
    if (args->dx == nullptr && args->dlora_x != nullptr)
      check.fail(LN_INVALID_ARGUMENT, "dlora_x is given, dx is NULL");
    ln::check_both_gradients(*args, check);
    if (args->rows == 0) return;
    check.pointer("dy", args->dy);
    check_tables(*args, check);
    if (args->dx != nullptr) check.pointer("weights", args->weights, alignof(void*));
    if (args->max_rank > 0) {
      check.pointer("v", args->v);
      if (args->grad_a != nullptr) {
        check.pointer("u", args->u);
        if (args->lora_x == nullptr) check.pointer("x", args->x);
        ln::check_gradient_tables(*args, check);
      }
    }
    check.optional("dx", args->dx);
    check.optional("dlora_x", args->dlora_x);
    ln::backend::grouped_linear_bwd(*context, *args, check);
  });
}
